//! The morning report of a run.

use std::{collections::BTreeMap, fs};

use dataset::{Dataset, Findings, RunAccount, SlideId};

use super::support::{SMALL_WINDOWS, accounts, run, shared, slidemill, small_slide, stderr};

/// Returns the report without the times it states.
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

    let told = stderr(&output);
    assert!(told.contains("To be looked at: 1 slide\n  broken.svs: not a slide"), "{told}");
    assert!(told.ends_with(&format!("report    {}\n", out.join("report.html").display())), "{told}");

    let html = fs::read_to_string(out.join("report.html")).unwrap();
    assert_eq!(html.matches("<section class=\"slide\"").count(), 2, "the failed one is a line of a table");
    let overviews = html.matches("preserveAspectRatio=\"none\" href=\"data:image/jpeg;base64,").count();
    assert_eq!(overviews, 2, "each picture is there once");
    let first = html.split_once("<h2>To be looked at</h2>").unwrap().1;
    assert!(first.starts_with("<p class=\"note\">1 slide without results. "), "{html}");
    assert!(html.contains("<b>1 slide</b>: <span class=\"why\">not a slide"), "{html}");
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

/// The log names files and the machine, so it is private; accounts state times, and no more.
#[test]
fn a_job_keeps_a_private_log_and_dates_its_accounts() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("Muster-Erika.tif");
    small_slide(&slide, 23);
    let out = folder.path().join("out");
    assert!(run(&[&slide], &out, &SMALL_WINDOWS).status.success());
    let logs: Vec<_> =
        fs::read_dir(out.join(".slidemill/log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [log] = &logs[..] else { panic!("{logs:?}") };
    let text = fs::read_to_string(log).unwrap();
    assert!(text.contains(&format!("on {}, process ", dataset::host_name())), "{text}");
    assert!(text.lines().last().unwrap().contains("Z 1 slide done; "), "{text}");
    assert!(text.contains("Z Muster-Erika.tif: "), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let account = &accounts(&out)[0];
    let ended = account.ended.clone().unwrap();
    assert!(
        ended.len() == "2026-11-22T07:05:59Z".len() && ended.starts_with("20") && ended.ends_with('Z'),
        "{ended}"
    );
    assert!(account.elapsed_secs > 0.0);
    let json = fs::read_to_string(Dataset::at(&out).account(&account.slide)).unwrap();
    assert!(!json.contains(&dataset::host_name()), "{json}");
}

#[test]
fn a_private_report_names_files_and_the_shared_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("Muster-Erika.tif");
    small_slide(&slide, 24);
    let out = folder.path().join("out");
    assert!(run(&[&slide], &out, &SMALL_WINDOWS).status.success());
    let output = slidemill().arg("report").arg(&out).arg("--private").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let private = out.join(".slidemill/report.html");
    assert!(String::from_utf8_lossy(&output.stdout).contains(private.to_str().unwrap()));
    let html = fs::read_to_string(&private).unwrap();
    assert!(html.contains("Muster-Erika.tif") && html.contains("<b>Private.</b>"), "{html}");
    assert!(!html.contains(folder.path().to_str().unwrap()), "its folder is in the report");
    assert!(!fs::read_to_string(out.join("report.html")).unwrap().contains("Muster"));
    let dataset = Dataset::at(&out);
    assert!(Findings::collect(&dataset).unwrap().is_complete());

    // The next job writes it again, and a change is noticed: once it stayed as it was, and no command looked at it.
    let next = folder.path().join("Muster-Karl.tif");
    small_slide(&next, 25);
    assert!(run(&[&slide, &next], &out, &SMALL_WINDOWS).status.success());
    let html = fs::read_to_string(&private).unwrap();
    assert!(html.contains("Muster-Erika.tif") && html.contains("Muster-Karl.tif"), "{html}");
    fs::write(&private, html.replace("Karl", "Kurt")).unwrap();
    assert!(!Findings::collect(&dataset).unwrap().problems.is_empty());
}

/// What a report says of the crops of its slides: their number, and the cells that each says it holds.
fn crops(html: &str) -> Vec<usize> {
    let captions = html.split("<span class=\"crop-key\">").skip(1);
    captions
        .map(|caption| {
            let (_, counts) = caption.split_once("</b>: ").expect("counts after the name");
            let (digits, _) = counts.split_once(" cell").expect("a number of cells");
            digits.replace('\u{202f}', "").parse().expect("a number")
        })
        .collect()
}

#[test]
fn what_was_counted_is_drawn_at_full_size_where_the_slide_is() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("Muster-Erika.tif");
    let truth = small_slide(&slide, 26);
    let out = folder.path().join("out");
    assert!(run(&[&slide], &out, &SMALL_WINDOWS).status.success());
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    let held = crops(&html);
    assert!((2..=3).contains(&held.len()), "{held:?}");
    assert!(html.contains("<b>Hottest field") && html.contains("ypical field"), "{html}");
    // No square of a crop's size on the grid of the slide holds more than the hottest.
    let id = &accounts(&out)[0].slide;
    let cells = dataset::read_cells(&Dataset::at(&out).cells(id)).unwrap();
    let most = (0..20)
        .flat_map(|row| (0..25).map(move |column| (f64::from(column) * 50.0, f64::from(row) * 50.0)))
        .map(|(x, y)| {
            let is_in = |at: f64, from: f64| at >= from && at < from + 399.0;
            cells.iter().filter(|cell| is_in(cell.centroid.x, x) && is_in(cell.centroid.y, y)).count()
        })
        .max();
    assert!(Some(held[0]) >= most, "{held:?}, expected at least {most:?}");
    assert!(truth.cells.len() > held[0]);
    let drawn: usize = html
        .split("<g class=\"cells\"")
        .skip(1)
        .map(|crop| crop.split_once("</g>").unwrap().0.matches('M').count())
        .sum();
    assert_eq!(drawn, held.iter().sum::<usize>(), "as many outlines as cells are said");
    assert!(!html.contains("Muster"));

    let again = |expected: &str| {
        let output = slidemill().arg("report").arg(&out).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let html = fs::read_to_string(out.join("report.html")).unwrap();
        assert!(html.contains(expected) && crops(&html).is_empty() && !html.contains("Muster"), "{html}");
    };
    fs::rename(&slide, folder.path().join("away.tif")).unwrap();
    again("no parts at full size: its file is not where it was;");
    small_slide(&slide, 27);
    again("no parts at full size: its file holds something else than when it was analysed;");
    fs::remove_file(out.join(".slidemill/slides.csv")).unwrap();
    again("no parts at full size: it is not known here which file it is;");
}

/// Once the report of two thousand slides was one file of 79 MB.
#[test]
fn a_large_report_has_a_small_first_page_and_every_slide_on_a_further_one() {
    const SLIDES: usize = 2000;
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 25);
    let out = folder.path().join("out");
    assert!(run(&[&slide], &out, &SMALL_WINDOWS).status.success());
    let dataset = Dataset::at(&out);
    let original = accounts(&out).remove(0);
    for place in 1..SLIDES {
        let id = SlideId::new(format!("s{place:016x}")).unwrap();
        let copies = [
            (dataset.cells(&original.slide), dataset.cells(&id)),
            (dataset.overview(&original.slide), dataset.overview(&id)),
            (dataset.coverage(&original.slide), dataset.coverage(&id)),
        ];
        for (from, to) in copies {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::hard_link(from, to).unwrap();
        }
        let doubts = match SLIDES - place {
            1 => vec!["its scale".to_owned()],
            from_end @ 2..=300 => vec![format!("{from_end} % of it is pen")],
            _ => Vec::new(),
        };
        let account = RunAccount { slide: id.clone(), doubts, ..original.clone() };
        fs::write(dataset.account(&id), serde_json::to_vec(&account).unwrap()).unwrap();
    }
    // A page of slides that are all there, with what is shown at full size.
    let mut list = fs::read_to_string(out.join(".slidemill/slides.csv")).unwrap();
    for place in SLIDES - 30..SLIDES {
        list += &format!("s{place:016x},{}\n", slide.display());
    }
    fs::write(out.join(".slidemill/slides.csv"), list).unwrap();
    let output = slidemill().arg("report").arg(&out).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let first = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(first.len() <= 10_000_000, "{} bytes", first.len());
    assert_eq!(fs::read_dir(out.join("report")).unwrap().count(), SLIDES.div_ceil(25));
    let (reasons, rows) = first.split_once("id=\"cohort\"").unwrap();
    assert_eq!(reasons.matches("<details class=\"reason\">").count(), 2, "of 300 slides, folded");
    assert!(reasons.contains("<b>299 slides</b>: <span class=\"why\">2 to 300 % of it is pen<"));
    let mut pages = BTreeMap::new();
    for link in rows.split("href=\"").skip(1) {
        let (page, anchor) = link.split_once('"').unwrap().0.split_once('#').unwrap();
        let html =
            pages.entry(page.to_owned()).or_insert_with(|| fs::read_to_string(out.join(page)).unwrap());
        assert!(
            html.contains(&format!("<section class=\"slide\" id=\"{anchor}\"")),
            "{anchor} is not on {page}"
        );
    }
    assert_eq!(pages.len(), SLIDES.div_ceil(25));
    assert!(
        pages["report/slides-012.html"].contains(&format!("slide-s{:016x}", SLIDES - 1)),
        "300 doubtful ones come first"
    );
    let full = pages.values().map(|page| crops(page).len()).max().unwrap();
    assert!(full >= 48, "{full} crops on a page of 25 slides");
    let largest = pages.values().map(String::len).max().unwrap();
    assert!(largest <= 10_000_000, "{largest} bytes");
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
