//! `slidemill consensus`: several annotators, one agreed truth.

use std::path::{Path, PathBuf};

use eval::{
    consensus::{Annotator, Consensus, ConsensusSettings, Grouping, agree, geojson::Which},
    objects::{Detail, ImageId, ObjectSet, Role},
};

use crate::{
    annotations::{Reader, failure},
    args,
    exit::{Exit, Failure},
    new_folder::NewFolder,
    stdout,
};

/// Reads the annotations of all annotators, finds the agreed truth, and writes it with a list for review.
///
/// # Errors
///
/// A usage failure for settings, an input failure for files, an output failure
/// for what cannot be written.
pub fn consensus(args: &args::Consensus) -> anyhow::Result<Exit> {
    let out = NewFolder::at(&args.out)?;
    let settings = ConsensusSettings {
        criterion: args.criterion,
        grouping: args
            .density
            .map_or(Grouping::CompleteLink, |min_samples| Grouping::Density { min_samples }),
        keep: args.keep,
        review_below: args.review_below,
    };
    // Outlines are kept for every criterion: the agreed objects get them.
    let reader = Reader::new(&args.annotations, Detail::Full)?;
    let found = agree(annotators(args, &reader)?, &settings).map_err(failure)?;
    write(&found, &out)?;
    out.finish()?;
    print(&found, args)?;
    Ok(Exit::Done)
}

fn annotators(args: &args::Consensus, reader: &Reader) -> anyhow::Result<Vec<Annotator>> {
    let named: Vec<(String, PathBuf)> = args.annotators.iter().map(|text| name_and_path(text)).collect();
    if let Some((name, _)) = named
        .iter()
        .enumerate()
        .find_map(|(i, one)| named[..i].iter().any(|other| other.0 == one.0).then_some(one))
    {
        return Err(Failure::usage(format!(
            "two annotators go by the name {name:?}; give names as NAME=PATH"
        )));
    }
    if let Some((name, _)) = args.weight.iter().find(|(name, _)| !named.iter().any(|one| one.0 == *name)) {
        let known: Vec<_> = named.iter().map(|(name, _)| name.as_str()).collect();
        return Err(Failure::usage(format!(
            "--weight is for {name:?}, expected one of {}",
            known.join(", ")
        )));
    }
    let weight = |name: &str| args.weight.iter().rev().find(|(of, _)| of == name).map_or(1.0, |(_, w)| *w);
    (named.into_iter())
        .map(|(name, path)| {
            let annotated = reader.read(&name, std::slice::from_ref(&path))?;
            let set = annotated.set;
            annotated.notes.iter().for_each(|note| errln!("slidemill: {note}"));
            tell_of_areas(&name, &set);
            Ok(Annotator { weight: weight(&name), name, set })
        })
        .collect()
}

/// Tells how many crowds and ignore areas an annotator has: they are not objects to agree on.
fn tell_of_areas(name: &str, set: &ObjectSet) {
    let areas = set.objects.iter().filter(|object| object.role != Role::Object).count();
    if areas > 0 {
        errln!("slidemill: {name}: crowds and ignore areas, {areas} in all, take no part");
    }
}

/// Splits `NAME=PATH`; of a plain path the stem is the name. A path that exists may hold `=`.
fn name_and_path(text: &str) -> (String, PathBuf) {
    let path = Path::new(text);
    match text.split_once('=') {
        Some((name, path)) if !Path::new(text).exists() => (name.to_owned(), PathBuf::from(path)),
        _ => {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            (eval::objects::stem(&name).to_owned(), path.to_owned())
        }
    }
}

fn write(found: &Consensus, out: &NewFolder) -> anyhow::Result<()> {
    let images = found.truth().file_names();
    for (name, image) in images.iter().zip(0..) {
        for (folder, which) in [("truth", Which::Kept), ("review", Which::Disputed)] {
            let mut text = Vec::new();
            found.write_geojson(ImageId(image), which, &mut text)?;
            out.write(&format!("{folder}/{name}.geojson"), &text)?;
        }
    }
    out.write("consensus.json", &serde_json::to_vec_pretty(found)?)?;
    Ok(())
}

fn print(found: &Consensus, args: &args::Consensus) -> anyhow::Result<()> {
    stdout::print("the consensus", |stdout| {
        if args.json {
            serde_json::to_writer(&mut *stdout, found)?;
            return writeln!(stdout);
        }
        let out = args.out.display();
        write!(stdout, "{found}\ntruth     {out}/truth\nto review {out}/review\n")
    })
}
