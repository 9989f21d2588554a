//! `slidemill serve`: the detector over HTTP.

mod wire;
mod worker;
mod workers;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use engine::{RunOptions, Settings};
use service::{Format, ModelCard, Roots, Service, ServiceError, Stopping, Tokens};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use self::workers::Workers;
use crate::{
    args,
    exit::{Exit, Failure},
    isolate, machine,
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
    Ok(service::Settings {
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
        keep_uploads: args.keep_uploads,
        ..service::Settings::local(std::path::absolute(&args.data)?)
    })
}

/// The models on offer, and how they are run.
struct Offer {
    /// The first is taken where a request names none.
    models: Vec<PathBuf>,
    options: RunOptions,
}

impl Offer {
    fn new(args: &args::Serve) -> anyhow::Result<Self> {
        let file = args.config.as_deref().map(RunOptions::from_file).transpose()?.unwrap_or_default();
        let options = args.options.0.clone().or(file);
        if options.detector.is_some() {
            return Err(Failure::usage(
                "--detector: a service runs one model for a job; name them with --models",
            ));
        }
        let bundled = engine::bundled_models().next().map(PathBuf::from);
        let models = match args.models.is_empty() {
            true => options.model.clone().or(bundled).into_iter().collect(),
            false => args.models.clone(),
        };
        // Said before anybody waits for it.
        Settings::on(&machine(), options.clone())?;
        Ok(Self { models, options })
    }

    /// The model that a request names.
    fn model(&self, name: Option<&str>) -> Result<&Path, String> {
        let wanted = self.models.iter().find(|model| name.is_none_or(|name| name_of(model) == name));
        wanted.map(PathBuf::as_path).ok_or_else(|| "there is no such model on offer".to_owned())
    }

    fn cards(&self) -> anyhow::Result<Vec<ModelCard>> {
        let mut cards: Vec<ModelCard> = Vec::new();
        for model in &self.models {
            let card = card(model)?;
            if cards.iter().any(|known| known.name == card.name) {
                return Err(Failure::usage(format!(
                    "--models: two have the name {:?}, expected one each: {}",
                    card.name,
                    model.display()
                )));
            }
            cards.push(card);
        }
        Ok(cards)
    }
}

/// What requests call a model: a bundled one by its name, a file without folder and ending.
fn name_of(model: &Path) -> String {
    model.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn card(model: &Path) -> anyhow::Result<ModelCard> {
    let manifest = engine::describe(Some(model))?.manifest;
    Ok(ModelCard {
        name: name_of(model),
        model: manifest.name,
        version: manifest.version,
        sha256: manifest.sha256,
        classes: manifest.classes.into_iter().map(|class| class.name).collect(),
        mpp: manifest.mpp.map(wsi_types::Mpp::get),
        licence: manifest.licence,
        description: manifest.description,
        outlines: manifest.task == detector::manifest::Task::Segment,
    })
}

/// A format of the service as the converter knows it.
fn convert_format(format: Format) -> convert::Format {
    match format {
        Format::GeoJson => convert::Format::GeoJson,
        Format::QuPath => convert::Format::QuPath,
        Format::DicomAnn => convert::Format::DicomAnn,
        Format::DicomSr => convert::Format::DicomSr,
    }
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
