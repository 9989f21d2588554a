//! The models that a service offers.

use std::path::{Path, PathBuf};

use engine::{RunOptions, Settings};
use service::{Format, ModelCard};

use wsi_types::Mpp;

use crate::{args, exit::Failure, machine};

/// The models on offer.
pub(super) struct Offer {
    /// The first is taken where a request names none.
    models: Vec<PathBuf>,
    /// Options that they are run with.
    pub(super) options: RunOptions,
}

impl Offer {
    /// Reads the offer from the command line.
    ///
    /// # Errors
    ///
    /// A usage failure for settings that do not go together.
    pub(super) fn new(args: &args::Serve) -> anyhow::Result<Self> {
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
    pub(super) fn model(&self, name: Option<&str>) -> Result<&Path, String> {
        let wanted = self.models.iter().find(|model| name.is_none_or(|name| name_of(model) == name));
        wanted.map(PathBuf::as_path).ok_or_else(|| "there is no such model on offer".to_owned())
    }

    /// Microns per pixel of the model that a request names, where it says them.
    pub(super) fn mpp(&self, name: Option<&str>) -> Result<Option<Mpp>, String> {
        let described = engine::describe(Some(self.model(name)?));
        described.map(|report| report.manifest.mpp).map_err(|error| error.to_string())
    }

    /// Descriptions of the models for clients.
    ///
    /// # Errors
    ///
    /// A usage failure for a model that cannot be used, and for two of one name.
    pub(super) fn cards(&self) -> anyhow::Result<Vec<ModelCard>> {
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

/// Name of a model in requests: of a bundled one its name, of a file its name without folder and ending.
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
        mpp: manifest.mpp.map(Mpp::get),
        licence: manifest.licence,
        description: manifest.description,
        outlines: manifest.task == detector::manifest::Task::Segment,
    })
}

/// A format of the service as the converter knows it.
pub(super) fn convert_format(format: Format) -> convert::Format {
    match format {
        Format::GeoJson => convert::Format::GeoJson,
        Format::QuPath => convert::Format::QuPath,
        Format::DicomAnn => convert::Format::DicomAnn,
        Format::DicomSr => convert::Format::DicomSr,
        Format::DicomSeg => convert::Format::DicomSeg,
    }
}
