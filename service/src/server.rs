//! The service from its start to its end.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{interval, timeout},
};
use tower::ServiceExt as _;

use crate::{
    clock::secs_now,
    error::ServiceError,
    http::{App, Peer, router},
    job::Lane,
    jobs::{AtEnd, Jobs},
    lanes,
    metrics::Metrics,
    push::Courier,
    runner::Runner,
    series,
    settings::Settings,
    store::Store,
};

/// A service that has its folder and its jobs, and answers as soon as it is [run](Self::run).
pub struct Service {
    app: Arc<App>,
    stopping: Stopping,
}

/// Asks a service to stop.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Sender<bool>);

impl Stopping {
    /// Asks for an orderly end: windows at work end, answers are given, no more jobs are taken.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// `true` if it was asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }
}

impl Service {
    /// Takes the folder of jobs. Jobs that an earlier service left wait again.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Taken`], [`ServiceError::Data`].
    pub fn open(settings: Settings, runner: Arc<dyn Runner>) -> Result<Self, ServiceError> {
        let jobs = Jobs::open(Store::open(&settings.data)?, settings.max_queued)?;
        jobs.give_up_pushes_but_to(&settings.targets);
        let app = App::new(settings, Arc::new(jobs), runner, Arc::new(Metrics::new()));
        Ok(Self { app: Arc::new(app), stopping: Stopping(watch::Sender::new(false)) })
    }

    /// Asks it to stop, from any thread.
    #[must_use]
    pub fn stopping(&self) -> Stopping {
        self.stopping.clone()
    }

    /// Jobs that have not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.app.jobs.unfinished()
    }

    /// Its routes, for tests and for servers of another kind. No job runs.
    pub fn router(&self) -> Router {
        router(Arc::clone(&self.app))
    }

    /// Answers and runs jobs until it is asked to stop; gives the number of jobs that have not ended.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Start`] when threads cannot be started.
    pub fn run(self, listener: TcpListener) -> Result<usize, ServiceError> {
        /// Answers take little time; what does is done by other threads.
        const THREADS: usize = 2;
        /// For the answer of a server that results are sent to.
        const GRACE: Duration = Duration::from_secs(2);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(ServiceError::Start)?;
        let lanes: Vec<_> =
            Lane::ALL.into_iter().map(|lane| self.start_lane(lane)).collect::<Result<_, _>>()?;
        let couriers = self.start_couriers()?;
        let served = runtime.block_on(self.serve(listener));
        for lane in lanes {
            // One that panicked has noted it in its job.
            let _ = lane.join();
        }
        // Ends when all have; an answer that comes later is not waited for, and its object is sent again.
        let _ = couriers.recv_timeout(GRACE);
        // Answers that hang are left.
        runtime.shutdown_background();
        served.map(|()| self.unfinished())
    }

    fn start_lane(&self, lane: Lane) -> Result<thread::JoinHandle<()>, ServiceError> {
        let app = Arc::clone(&self.app);
        let thread = thread::Builder::new().name(format!("{} jobs", lane.word())).spawn(move || {
            let Settings { keep_uploads, push_to, .. } = &app.settings;
            let at_end = AtEnd { keep_uploads: *keep_uploads, push_to: push_to.as_deref() };
            lanes::work(lane, &app.jobs, app.runner.as_ref(), &app.metrics, &at_end);
        });
        thread.map_err(ServiceError::Start)
    }

    /// Starts a thread for each target; the channel closes when all have ended.
    fn start_couriers(&self) -> Result<Receiver<()>, ServiceError> {
        let (ended, all_ended) = channel();
        let App { jobs, runner, metrics, settings, .. } = &*self.app;
        for target in settings.targets.iter() {
            let (runner, metrics) = (Arc::clone(runner), Arc::clone(metrics));
            let courier = Courier::new(jobs, runner, metrics, target.clone(), settings.push_patience);
            let ended = ended.clone();
            let thread = thread::Builder::new().name("pushes".into()).spawn(move || {
                courier.work();
                drop(ended);
            });
            thread.map_err(ServiceError::Start)?;
        }
        Ok(all_ended)
    }

    async fn serve(&self, listener: TcpListener) -> Result<(), ServiceError> {
        /// For answers that are on their way.
        const PATIENCE: Duration = Duration::from_secs(10);
        listener.set_nonblocking(true).map_err(ServiceError::Start)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(ServiceError::Start)?;
        let mut stopping = self.stopping.0.subscribe();
        let connections = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.app.settings.max_connections));
        let router = self.router();
        let cleaning = tokio::spawn(clean(Arc::clone(&self.app)));
        let gathering = tokio::spawn(finish_series(Arc::clone(&self.app)));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|is_asked| *is_asked) => break,
            };
            // A connection that failed before it began is the other side's loss, one too many is closed.
            let Ok((stream, from)) = accepted else { continue };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let talk = talk(stream, from, router.clone(), self.app.settings.patience, &connections);
            tokio::spawn(holding(place, talk));
        }
        drop(listener);
        cleaning.abort();
        gathering.abort();
        self.app.jobs.stop();
        let _ = timeout(PATIENCE, connections.shutdown()).await;
        Ok(())
    }
}

/// Keeps a place until the work is done.
async fn holding(place: OwnedSemaphorePermit, work: impl Future<Output = ()>) {
    work.await;
    drop(place);
}

/// Answers one connection until it ends.
fn talk(
    stream: TcpStream,
    from: SocketAddr,
    router: Router,
    patience: Duration,
    connections: &GracefulShutdown,
) -> impl Future<Output = ()> + use<> {
    // Answers are short and waited for.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(from));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service);
    let watched = connections.watch(connection);
    async move {
        // The client went away: nobody is left to be told.
        let _ = watched.await;
    }
}

/// Erases jobs whose time is over.
async fn clean(app: Arc<App>) {
    const EVERY: Duration = Duration::from_secs(60);
    let mut rounds = interval(EVERY);
    loop {
        rounds.tick().await;
        let app = Arc::clone(&app);
        let before = secs_now().saturating_sub(app.settings.keep.as_secs());
        // Erasing waits for the disk.
        let _ = tokio::task::spawn_blocking(move || app.jobs.expire(before)).await;
    }
}

/// Makes slides of series that are whole.
async fn finish_series(app: Arc<App>) {
    const EVERY: Duration = Duration::from_millis(250);
    let mut rounds = interval(EVERY);
    loop {
        rounds.tick().await;
        for id in app.jobs.quiet(app.settings.stow_quiet) {
            let app = Arc::clone(&app);
            // A look at a slide takes a process and its time.
            let _ = tokio::task::spawn_blocking(move || {
                series::finish(&app.jobs, app.runner.as_ref(), id, app.settings.sync_mpx);
            })
            .await;
        }
    }
}
