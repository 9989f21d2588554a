//! `slidemill settings`: the effective settings, as a file that can be used.

use std::collections::BTreeMap;

use crate::{
    args,
    exit::Exit,
    merging::{MergeOptions, MergeRules, describe_filter},
    settings::{ByteSize, RunOptions, Settings},
};

/// Prints the effective settings with their origin.
///
/// # Errors
///
/// A usage failure when a setting is wrong.
pub fn settings(args: args::ShowSettings) -> anyhow::Result<Exit> {
    let file = args.config.as_deref().map(RunOptions::from_file).transpose()?.unwrap_or_default();
    let effective = Settings::new(args.options.clone().or(file.clone()))?;
    print!("{}", describe(&args.options, &file, &effective));
    Ok(Exit::Done)
}

/// Lines of the file, each from its name, the option it is, its value (a comment when there is none) and what follows
/// its origin.
macro_rules! lines {
    ($flags:ident, $file:ident, $(($name:literal, $option:ident, $value:expr, $about:literal $(,)?)),* $(,)?) => {
        vec![$(setting($name, $value, origin($flags.$option.is_some(), $file.$option.is_some()), $about)),*]
    };
}

fn describe(flags: &RunOptions, file: &RunOptions, settings: &Settings) -> String {
    let quoted = |text: String| Some(format!("{text:?}"));
    let mut lines = lines!(
        flags,
        file,
        (
            "model",
            model,
            settings.model.as_ref().map(|path| format!("{:?}", path.display().to_string())),
            ", the bundled model when not given"
        ),
        (
            "detector",
            detector,
            flags.detector.as_ref().or(file.detector.as_ref()).map(|all| {
                format!("[{}]", all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }),
            ", several scales or models; the model at its own mpp when not given"
        ),
        ("device", device, quoted(settings.device.to_string()), ""),
        ("batch", batch, Some(settings.batch.to_string()), ", windows"),
        (
            "window-iou",
            window_iou,
            settings.window_iou.map(|iou| iou.to_string()),
            ", the model's own when not given"
        ),
        (
            "mpp",
            mpp,
            settings.mpp.map(|mpp| mpp.get().to_string()),
            ", µm per level-0 px; the slide's own when not given"
        ),
        (
            "map-range",
            map_range,
            settings.map_range.and_then(|mapping| quoted(mapping.to_string())),
            ", values that become black and white; for slides of more than 8 bits"
        ),
        ("window", window, Some(settings.window.to_string()), ", px at the model's mpp"),
        ("overlap", overlap, quoted(settings.overlap.to_string()), ""),
        ("no-tissue-mask", no_tissue_mask, Some((!settings.tissue_mask).to_string()), ""),
        ("allow-enlarging", allow_enlarging, Some((settings.max_enlarge > 2.0).to_string()), ""),
        ("stains", stains, Some(settings.stains.to_string()), ""),
        ("threads", threads, Some(settings.threads.to_string()), ""),
        ("mem", mem, quoted(mem_text(settings.memory)), ""),
        (
            "scratch",
            scratch,
            settings.scratch.map(mem_text).and_then(quoted),
            ", what the disk allows when not given"
        ),
        ("slide-timeout", slide_timeout, Some(settings.slide_timeout_secs.to_string()), ", seconds"),
        ("keep-raw", keep_raw, Some(settings.keep_raw.is_some().to_string()), ""),
        ("raw-floor", raw_floor, settings.keep_raw.map(|floor| floor.to_string()), ", score, with keep-raw")
    );
    lines.extend(describe_merging(&flags.merging, &file.merging, &settings.merging));
    lines.join("\n") + "\n"
}

fn origin(flag: bool, file: bool) -> &'static str {
    match (flag, file) {
        (true, _) => "flag",
        (_, true) => "file",
        _ => "default",
    }
}

/// One line of the file.
fn setting(name: &str, value: Option<String>, origin: &str, about: &str) -> String {
    let (mark, value) = value.map_or(("# ", "…".to_owned()), |value| ("", value));
    format!("{:<33} # {origin}{about}", format!("{mark}{name} = {value}"))
}

fn describe_merging(flags: &MergeOptions, file: &MergeOptions, rules: &MergeRules) -> Vec<String> {
    let word = |value: serde_json::Result<serde_json::Value>| value.ok().map(|value| value.to_string());
    let list = |values: &[String]| (!values.is_empty()).then(|| format!("{values:?}"));
    let pairs = |values: &BTreeMap<String, f64>| {
        list(&values.iter().map(|(class, value)| format!("{class}={value}")).collect::<Vec<_>>())
    };
    let (dense, region) = (rules.dense.as_ref(), &rules.region);
    lines!(
        flags,
        file,
        (
            "min-score",
            min_score,
            rules.min_score.map(|score| score.to_string()),
            ", the model's own when not given"
        ),
        ("class-score", class_score, pairs(&rules.class_score), ", exceptions by class"),
        ("merge", merge, word(serde_json::to_value(rules.method)), ", nms, nmm or wbf"),
        ("merge-metric", merge_metric, word(serde_json::to_value(rules.metric)), ", iou, ios or mask-iou"),
        (
            "merge-iou",
            merge_iou,
            rules.merge_iou.map(|iou| iou.to_string()),
            ", the model's own when not given"
        ),
        ("class-iou", class_iou, pairs(&rules.class_iou), ", exceptions by class"),
        (
            "cross-class-iou",
            cross_class_iou,
            rules.cross_class_iou.map(|iou| iou.to_string()),
            ", the model's own or 0.7 when not given"
        ),
        ("rim", rim, Some(rules.rim_px.to_string()), ", px at the model's mpp"),
        ("unseen-cut", unseen_cut, word(serde_json::to_value(rules.unseen_cut)), ", keep or drop"),
        ("filter", filter, list(&describe_filter(&rules.filter)), ", ranges in the units of the table"),
        (
            "fuse",
            fuse,
            of_several(rules).then(|| format!("{:?}", rules.fuse.to_string())),
            ", of several detectors: wbf, noisy-or, max or context"
        ),
        (
            "fuse-weights",
            fuse_weights,
            of_several(rules).then(|| format!("{:?}", rules.fusion.weights)),
            ", of each detector"
        ),
        ("fuse-iou", fuse_iou, Some(rules.fusion.iou.to_string()), ""),
        ("fuse-distance-um", fuse_distance_um, Some(rules.fusion.distance_um.to_string()), ", µm"),
        ("fuse-score", fuse_score, Some(rules.fusion.min_score.to_string()), ", after fusing"),
        ("context-weight", context_weight, Some(rules.context_weight.to_string()), ", with fuse = context"),
        (
            "context-outside",
            context_outside,
            Some(rules.context_outside.to_string()),
            ", score outside of all regions"
        ),
        ("region-class", region_class, list(&rules.region_class), ", classes that are areas"),
        (
            "dense-per-mm2",
            dense_per_mm2,
            dense.map(|dense| dense.per_mm2.to_string()),
            ", cells per mm²; no dense regions when not given"
        ),
        ("dense-radius-um", dense_radius_um, dense.map(|dense| dense.radius_um.to_string()), ", µm"),
        ("dense-class", dense_class, dense.and_then(|dense| list(&dense.classes)), ", all when not given"),
        ("region-closing-um", region_closing_um, Some(region.closing_um.to_string()), ", µm"),
        ("region-opening-um", region_opening_um, Some(region.opening_um.to_string()), ", µm"),
        ("region-hole-um2", region_hole_um2, Some(region.largest_hole_um2.to_string()), ", µm²"),
        ("region-min-um2", region_min_um2, Some(region.least_area_um2.to_string()), ", µm²"),
        ("region-simplify-um", region_simplify_um, Some(region.simplify_um.to_string()), ", µm")
    )
}

/// In a unit that reads back as the very same number of bytes.
fn mem_text(bytes: u64) -> String {
    let exact = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)]
        .into_iter()
        .find(|(_, unit)| bytes.is_multiple_of(*unit));
    exact.map_or_else(|| ByteSize(bytes).0.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// Whether there is something to fuse: its rule is refused for a single detector.
fn of_several(rules: &MergeRules) -> bool {
    rules.fusion.weights.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_a_settings_file_with_the_same_effect() {
        let flags = RunOptions {
            overlap: Some("12um".into()),
            mpp: Some(0.25),
            mem: Some("1.5G".into()),
            ..Default::default()
        };
        let settings = Settings::new(flags.clone()).unwrap();
        let text = describe(&flags, &RunOptions::default(), &settings);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slidemill.toml");
        std::fs::write(&path, &text).unwrap();
        let again = Settings::new(RunOptions::from_file(&path).unwrap()).unwrap();
        assert_eq!(
            describe(&RunOptions::default(), &RunOptions::default(), &again).replace("default", ""),
            text.replace("default", "").replace("flag", "")
        );
        assert!(text.contains("mpp = 0.25") && text.contains("# flag"));
    }
}
