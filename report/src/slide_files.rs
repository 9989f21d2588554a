//! The files of slides, where a report may read their pixels.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use dataset::RunAccount;
use wsi_reader::{
    LinearMapping, MappingError, OpenOptions, Slide, content_id, full_content_id, may_be_there, open_with,
};

use crate::{cohort::SlideColumns, private_facts::PrivateFacts};

/// Paths of the files of slides, by id; a slide may have lain at several. Without any, a report shows nothing at full
/// size. With them goes what slide lists say of the slides, which a private report shows.
#[derive(Debug, Clone, Default)]
pub struct SlideFiles {
    paths: BTreeMap<String, Vec<PathBuf>>,
    columns: SlideColumns,
}

impl FromIterator<(String, PathBuf)> for SlideFiles {
    fn from_iter<T: IntoIterator<Item = (String, PathBuf)>>(lines: T) -> Self {
        let mut paths: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for (id, path) in lines {
            paths.entry(id).or_default().push(path);
        }
        Self { paths, columns: SlideColumns::new() }
    }
}

impl SlideFiles {
    /// The same files, with what slide lists say of the slides.
    #[must_use]
    pub fn with_columns(self, columns: SlideColumns) -> Self {
        Self { columns, ..self }
    }

    /// Names and columns for a private report; all names, in order, of a slide that has copies or had other names.
    pub(crate) fn private_facts(&self) -> PrivateFacts {
        let names = self.paths.iter().map(|(id, paths)| (id.clone(), file_names(paths).join(", ")));
        PrivateFacts::new(names.collect(), self.columns.clone())
    }

    /// Opens the file that the results of an account were made from.
    ///
    /// # Errors
    ///
    /// The reason why there is none, without a path.
    pub(crate) fn open(&self, account: &RunAccount) -> Result<Arc<dyn Slide>, String> {
        let paths = self.paths.get(account.slide.as_str()).ok_or("it is not known here which file it is")?;
        let there: Vec<&PathBuf> = paths.iter().filter(|path| may_be_there(path)).collect();
        if there.is_empty() {
            return Err("its file is not where it was".to_owned());
        }
        let content =
            account.settings.get("slide_content").ok_or("its account does not say what its file held")?;
        let own = there.into_iter().find(|path| holds(path, content));
        let own = own.ok_or("its file holds something else than when it was analysed")?;
        let mapping: Option<LinearMapping> = account
            .settings
            .get("map_range")
            .map(|range| range.parse())
            .transpose()
            .map_err(|error: MappingError| error.to_string())?;
        let options = OpenOptions { mapping, ..OpenOptions::default() };
        open_with(own, &options).map_err(|error| format!("its file cannot be opened: {error}"))
    }
}

/// The names of files, each once.
fn file_names(paths: &[PathBuf]) -> Vec<String> {
    let mut names = Vec::new();
    for name in paths.iter().map(|path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()) {
        if !names.iter().any(|known| *known == name) {
            names.push(name.into_owned());
        }
    }
    names
}

/// `true` if a slide has this content. A slide whose samples are those of another goes by all of its bytes.
fn holds(path: &Path, content: &str) -> bool {
    [content_id, full_content_id]
        .into_iter()
        .any(|id| id(path).is_ok_and(|found| found.to_string() == content))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use dataset::{ModelFacts, Outcome, SlideId};

    use super::*;

    fn account(settings: &[(&str, &str)]) -> RunAccount {
        RunAccount {
            slide: SlideId::new("s1").unwrap(),
            outcome: Outcome::Done,
            reason: None,
            slidemill: String::new(),
            model: ModelFacts { name: "m".into(), version: String::new(), sha256: String::new() },
            device: String::new(),
            devices: Vec::new(),
            fingerprint: String::new(),
            settings: settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            analysis: None,
            warnings: Vec::new(),
            doubts: Vec::new(),
            copies: 0,
            ended: None,
            elapsed_secs: 0.0,
        }
    }

    #[test]
    fn a_slide_with_copies_goes_by_all_names() {
        let paths = ["old/a.svs", "b.svs", "new/a.svs"].map(|path| ("s1".to_owned(), PathBuf::from(path)));
        let files: SlideFiles = paths.into_iter().collect();
        assert_eq!(files.private_facts().name(&SlideId::new("s1").unwrap()), Some("a.svs, b.svs"));
    }

    #[test]
    fn a_file_that_is_not_the_slide_any_more_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Muster-Erika.png");
        let files: SlideFiles = [("s1".to_owned(), path.clone())].into_iter().collect();
        let why = |files: &SlideFiles, settings: &[(&str, &str)]| {
            files.open(&account(settings)).err().unwrap_or_default()
        };
        assert_eq!(why(&SlideFiles::default(), &[]), "it is not known here which file it is");
        assert_eq!(why(&files, &[]), "its file is not where it was");
        fs::write(&path, "no slide").unwrap();
        assert_eq!(why(&files, &[]), "its account does not say what its file held");
        assert!(why(&files, &[("slide_content", "ab")]).starts_with("its file holds something else"));
        for content in [content_id(&path), full_content_id(&path)] {
            let said = why(&files, &[("slide_content", &content.unwrap().to_string())]);
            assert!(said.starts_with("its file cannot be opened: ") && !said.contains("Muster"), "{said}");
        }
    }
}
