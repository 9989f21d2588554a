//! `slidemill serve`: the detector over HTTP.

mod offer;
mod wire;
mod worker;
mod workers;

use std::{
    net::TcpListener,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use service::{Roots, Service, ServiceError, Stopping, Targets, Tokens};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use self::{offer::Offer, workers::Workers};
use crate::{
    args,
    exit::{Exit, Failure},
    isolate,
    stdout::print,
};

/// Serves until it is asked to stop.
///
/// # Errors
///
/// A usage failure for settings that do not go together or a model that cannot be used, an output failure when the
/// folder cannot be written or the address not be listened on.
pub fn serve(args: args::Serve) -> anyhow::Result<Exit> {
    let offer = Offer::new(&args)?;
    if isolate::is_child() {
        return worker::work(&offer, args.worker_memory.0);
    }
    let settings = settings(&args)?;
    if settings.tokens.is_none() && !args.listen.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "--listen {}: another address than loopback needs --token-file, or everybody in the network could use it",
            args.listen
        )));
    }
    let stopping: Arc<OnceLock<Stopping>> = Arc::default();
    let workers = Arc::new(Workers::new(offer.cards()?, {
        let stopping = Arc::clone(&stopping);
        move || stopping.get().into_iter().for_each(Stopping::ask)
    }));
    let service = Service::open(settings, Arc::clone(&workers) as Arc<_>)?;
    let _ = stopping.set(service.stopping());
    let listener = TcpListener::bind(args.listen)
        .map_err(|reason| ServiceError::Listen { address: args.listen.to_string(), reason })?;
    let address = listener.local_addr().context("cannot tell the address")?;
    stop_on_signals(service.stopping())?;
    let waiting = service.unfinished();
    print("the address", |out| {
        writeln!(out, "service   http://{address}\njobs      {waiting} to go on with")
    })?;
    let unfinished = service.run(listener)?;
    if let Some(reason) = workers.refusal() {
        return Err(Failure::usage(reason));
    }
    if unfinished == 0 {
        return Ok(Exit::Done);
    }
    errln!("Stopped with {unfinished} jobs to do: the same command goes on from here.");
    Ok(Exit::Again)
}

fn settings(args: &args::Serve) -> anyhow::Result<service::Settings> {
    const HOUR_SECS: u64 = 3600;
    if !(args.sync_mpx >= 0.0 && args.sync_mpx.is_finite()) {
        return Err(Failure::usage(format!(
            "--sync-mpx is {}, expected megapixels such as 16",
            args.sync_mpx
        )));
    }
    let targets = args.push_targets.as_deref().map(Targets::read).transpose()?.unwrap_or_default();
    if let Some(name) = args.push_to.as_ref().filter(|name| !targets.has(name)) {
        return Err(Failure::usage(format!(
            "--push-to: there is no target {name:?}, known are: {}",
            targets.names()
        )));
    }
    Ok(service::Settings {
        targets,
        push_to: args.push_to.clone(),
        tokens: args.token_file.as_deref().map(Tokens::read).transpose()?,
        roots: Roots::new(&args.allow_root)?,
        sync_mpx: args.sync_mpx,
        sync_wait: Duration::from_secs(args.sync_wait),
        max_upload: args.max_upload.0,
        max_uploads: args.max_uploads,
        max_queued: args.max_queued,
        max_connections: args.max_connections,
        max_findings: args.max_findings,
        patience: Duration::from_secs(args.patience),
        keep: Duration::from_secs(args.keep.saturating_mul(HOUR_SECS)),
        stow_quiet: Duration::from_secs(args.stow_quiet),
        keep_uploads: args.keep_uploads,
        ..service::Settings::local(std::path::absolute(&args.data)?)
    })
}

/// The first Ctrl-C or SIGTERM asks for an orderly end, the second quits now: what is on the disk is whole at any moment.
fn stop_on_signals(stopping: Stopping) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen to signals")?;
    let thread = thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            if stopping.is_asked() {
                std::process::exit(i32::from(Exit::Again.code()));
            }
            stopping.ask();
            errln!("Stopping after the windows at work; once more quits at once.");
        }
    });
    thread.context("cannot start a thread")?;
    Ok(())
}
