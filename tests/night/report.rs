//! The morning report of a run.

use std::fs;

use super::support::{SMALL_WINDOWS, run, shared, slidemill, small_slide, stderr};

/// The report without the times it states.
fn timeless(html: &str) -> String {
    let mut rest = html;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once("<time>") {
        kept += before;
        rest = after.split_once("</time>").expect("an end").1;
    }
    kept + rest
}

#[test]
fn a_run_ends_with_a_report_that_names_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    let slides = folder.path().join("slides");
    fs::create_dir(&slides).unwrap();
    small_slide(&slides.join("Muster-Erika.tif"), 21);
    small_slide(&slides.join("b.tif"), 22);
    fs::write(slides.join("broken.svs"), "no slide").unwrap();
    let out = folder.path().join("out");
    let output = run(&[&slides], &out, &SMALL_WINDOWS);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));

    let html = fs::read_to_string(out.join("report.html")).unwrap();
    assert_eq!(html.matches("<section class=\"slide\"").count(), 3);
    assert_eq!(html.matches("href=\"data:image/jpeg;base64,").count(), 2, "each picture is there once");
    assert!(html.contains("No results: not a slide") && html.contains("To be looked at"), "{html}");
    // The name space of SVG is a name, not an address.
    let asked = html.replace("http://www.w3.org/2000/svg", "");
    for foreign in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!asked.contains(foreign), "the page asks for {foreign}");
    }
    for private in ["Muster", "b.tif", "broken.svs", folder.path().to_str().unwrap()] {
        assert!(!html.contains(private), "{private} is in the report");
    }

    let again = slidemill().arg("report").arg(&out).output().unwrap();
    assert!(again.status.success(), "{}", stderr(&again));
    let anew = fs::read_to_string(out.join("report.html")).unwrap();
    assert_eq!(timeless(&anew), timeless(&html));
}

#[test]
fn nothing_to_report_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let output = slidemill().arg("report").arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).contains("no run account is here"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The slide has a label and a macro image, and a patient in its description.
#[test]
fn a_patient_is_in_no_shared_output() {
    let Some(slide) = shared("slides/crafted/phi_label_macro.svs") else { return };
    let bytes = fs::read(&slide).unwrap();
    let secrets = ["DOE^JANE", "DOE_JANE", "MRN0000000", "00000000-FAKE", "SS0000"];
    assert!(secrets.iter().all(|secret| contains(&bytes, secret.as_bytes())), "the slide is another");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let output = run(&[&slide], &out, &["--threads", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for entry in walkdir::WalkDir::new(&out).into_iter().map(Result::unwrap) {
        let private = entry.path().starts_with(out.join(".slidemill"));
        if entry.file_type().is_file() && !private {
            let bytes = fs::read(entry.path()).unwrap();
            for secret in secrets.iter().chain(&["phi_label_macro"]) {
                assert!(!contains(&bytes, secret.as_bytes()), "{secret}: {}", entry.path().display());
            }
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
