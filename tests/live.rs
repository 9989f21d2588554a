//! `slidemill live` as a person uses it: with the bundled model, over a painted slide that stands for a specimen.

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Output, Stdio},
};

use serde_json::Value;
use support::{paint, slidemill, small_slide, stderr};

fn live(arguments: &[&str], more: &[&Path]) -> Output {
    slidemill().arg("live").args(arguments).args(more).output().expect("the command starts")
}

fn lines(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

#[test]
fn a_pan_is_recorded_whole_and_the_same_every_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (slide, record) = (folder.path().join("Anna Muster.tif"), folder.path().join("seen.jsonl"));
    small_slide(&slide, 41);
    let pan = ["--mpp", "0.5", "--size", "256x192", "--count", "12", "--noise", "2", "--record"];
    let done = live(&pan, &[&record, Path::new("--slide"), &slide]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(done.stdout.is_empty() && stderr(&done).starts_with("12 frames, 0 dropped"), "{}", stderr(&done));
    let first = fs::read(&record).expect("the record");
    let seen = lines(&first);
    let (head, last, end) = (&seen[0], &seen[12], &seen[13]);
    assert_eq!((seen.len(), head["model"].as_str()), (14, Some("nuclei-he-int8")));
    let count = last["mosaic"]["nucleus"].as_u64().expect("cells");
    assert!(count > 10 && count >= last["objects"].as_array().expect("cells").len() as u64, "{last}");
    assert_eq!((end["complete"].as_bool(), end["segments"][0].as_u64()), (Some(true), Some(count)));
    assert!(!String::from_utf8_lossy(&first).contains("Muster"), "no names");
    let again = live(&pan, &[&record, Path::new("--slide"), &slide]);
    assert_eq!((again.status.code(), fs::read(&record).expect("the record") == first), (Some(0), true));
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("none");
    let refusals: [(&[&str], i32, &str); 7] = [
        (&["--frames", "x"], 64, "--mpp"),
        (&["--mpp", "0.5"], 64, "there is nothing to watch: give --slide"),
        (&["--mpp", "nan", "--frames", "x"], 64, "--mpp: mpp is not a finite number"),
        (&["--mpp", "2", "--size", "64x64", "--", "sh", "-c", "printf %12288s x"], 64, "too coarse"),
        (&["--mpp", "0.5", "--", "true"], 65, "no frame came"),
        (&["--mpp", "0.5", "--noise", "3", "--frames", "x"], 64, "cannot be used with"),
        (&["--mpp", "0.5", "--fps", "0", "--frames", "x"], 64, "--fps is 0"),
    ];
    for (arguments, code, words) in refusals {
        let refused = live(arguments, &[]);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(words), "{arguments:?}: {}", stderr(&refused));
    }
    let refused = live(&["--mpp", "0.5", "--frames"], &[&missing]);
    assert_eq!(refused.status.code(), Some(65), "{}", stderr(&refused));
}

#[test]
fn a_stage_that_leaves_the_slide_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (slide, path) = (folder.path().join("slide.tif"), folder.path().join("path.csv"));
    small_slide(&slide, 41);
    fs::write(&path, "300,300\n90000,300\n").expect("a path");
    let stage = ["--mpp", "0.5", "--size", "256x192", "--path"];
    let refused = live(&stage, &[&path, Path::new("--slide"), &slide]);
    assert_eq!(refused.status.code(), Some(64), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("which is not on the slide of 2560 × 2048 px"), "{}", stderr(&refused));
}

/// Four frames of half the sides were taken for each frame, and cells counted in their torn rows.
#[cfg(unix)]
#[test]
fn frames_that_are_cut_at_a_wrong_width_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (slide, raw) = (folder.path().join("slide.tif"), folder.path().join("frames.rgb"));
    paint(&slide, 41, 256.0, 192.0);
    let pixels = wsi_reader::Overview::whole(&*wsi_reader::open(&slide).expect("it opens"), u32::MAX).pixels;
    assert_eq!((pixels.width(), pixels.height()), (1024, 768));
    fs::write(&raw, pixels.bytes()).expect("it can be written");
    let camera = ["--", "cat"].map(Path::new);
    for (size, code, words) in
        [("512x384", 65, "at a width of 512 px, but at 1024 px"), ("1024x768", 0, "1 frame, 0 dropped")]
    {
        let output = live(&["--mpp", "0.25", "--size", size], &[&camera[..], &[&raw]].concat());
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}

/// What was seen until the camera failed is kept, and is not taken for all.
#[cfg(unix)]
#[test]
fn a_camera_that_fails_leaves_a_record_that_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let record = folder.path().join("seen.jsonl");
    let frame = format!("head -c {} /dev/urandom; exit 3", 96 * 96 * 3);
    let arguments = ["--mpp", "0.5", "--size", "96x96", "--record", record.to_str().expect("text")];
    let failed = live(&[&arguments[..], &["--", "sh", "-c", &frame]].concat(), &[]);
    assert_eq!(failed.status.code(), Some(65), "{}", stderr(&failed));
    assert!(stderr(&failed).contains("failed (exit status: 3) after 1 frame:"), "{}", stderr(&failed));
    let seen = lines(&fs::read(&record).expect("the record"));
    assert_eq!(
        (seen.len(), seen[2]["complete"].as_bool(), seen[2]["frames"].as_u64()),
        (3, Some(false), Some(1))
    );
}

#[test]
fn the_page_shows_the_last_frame_to_those_with_the_address() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 41);
    let mut process = slidemill()
        .args(["live", "--mpp", "0.5", "--size", "256x192", "--count", "3", "--page", "--slide"])
        .arg(&slide)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut errors = BufReader::new(process.stderr.take().expect("its messages"));
    let mut line = String::new();
    errors.read_line(&mut line).expect("it prints its address");
    let address = line.split_whitespace().last().unwrap_or_default().to_owned();
    while !line.contains("the page stays") {
        line.clear();
        assert!(errors.read_line(&mut line).expect("a message") > 0, "it goes on");
    }
    let rest = address.strip_prefix("http://").expect("an address");
    let (host, key) = rest.split_once('/').expect("a key");
    let last = get(host, &format!("/{key}after/0"));
    assert!(last.contains("\"ended\":true") && last.contains("\"frame\":2"), "{last}");
    assert!(get(host, &format!("/{key}")).contains("<title>slidemill live</title>"));
    assert!(get(host, "/after/0").starts_with("HTTP/1.1 404"));
    process.kill().expect("it is there");
    process.wait().expect("it ends");
}

/// The first 64 KiB of an answer.
fn get(host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(host).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").expect("it reads");
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let start = head.len();
        reader.read_line(&mut head).expect("it answers");
        if let Some(bytes) = head[start..].strip_prefix("content-length: ") {
            length = bytes.trim().parse().expect("a length");
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).expect("it answers");
    head + &String::from_utf8_lossy(&body)
}
