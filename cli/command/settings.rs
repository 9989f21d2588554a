//! `slidemill settings`: the effective settings, as a file that can be used.

use crate::{
    args,
    exit::Exit,
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

fn describe(flags: &RunOptions, file: &RunOptions, settings: &Settings) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: Option<String>, flag: bool, file: bool, unit: &str| {
        let origin = if flag {
            "flag"
        } else if file {
            "file"
        } else {
            "default"
        };
        let (mark, value) = value.map_or(("# ", "…".to_owned()), |value| ("", value));
        lines.push(format!("{:<34}# {origin}{unit}", format!("{mark}{name} = {value}")));
    };
    macro_rules! show {
        ($name:literal, $field:ident, $value:expr, $unit:literal) => {
            line($name, $value, flags.$field.is_some(), file.$field.is_some(), $unit)
        };
    }
    let quoted = |text: String| Some(format!("{text:?}"));
    let number = |value: Option<String>| value;
    show!(
        "model",
        model,
        settings.model.as_ref().map(|path| format!("{:?}", path.display().to_string())),
        ", the bundled model when not given"
    );
    show!("device", device, quoted(settings.device.to_string()), "");
    show!("batch", batch, Some(settings.batch.to_string()), ", windows");
    show!(
        "min-score",
        min_score,
        number(settings.min_score.map(|score| score.to_string())),
        ", the model's own when not given"
    );
    show!(
        "mpp",
        mpp,
        number(settings.mpp.map(|mpp| mpp.get().to_string())),
        ", µm per level-0 px; the slide's own when not given"
    );
    show!("window", window, Some(settings.window.to_string()), ", px at the model's mpp");
    show!("overlap", overlap, quoted(settings.overlap.to_string()), "");
    show!("no-tissue-mask", no_tissue_mask, Some((!settings.tissue_mask).to_string()), "");
    show!("allow-enlarging", allow_enlarging, Some((settings.max_enlarge > 2.0).to_string()), "");
    show!(
        "merge-iou",
        merge_iou,
        number(settings.merge_iou.map(|iou| iou.to_string())),
        ", the model's own when not given"
    );
    show!("cross-class-iou", cross_class_iou, Some(settings.cross_class_iou.to_string()), "");
    show!("threads", threads, Some(settings.threads.to_string()), "");
    show!("mem", mem, quoted(mem_text(settings.memory)), "");
    show!("slide-timeout", slide_timeout, Some(settings.slide_timeout_secs.to_string()), ", seconds");
    show!("keep-raw", keep_raw, Some(settings.keep_raw.to_string()), "");
    lines.join("\n") + "\n"
}

/// In a unit that reads back as the very same number of bytes.
fn mem_text(bytes: u64) -> String {
    let exact = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)]
        .into_iter()
        .find(|(_, unit)| bytes.is_multiple_of(*unit));
    exact.map_or_else(|| ByteSize(bytes).0.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
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
