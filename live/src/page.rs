//! The page: the field with its cells, in a browser on the same machine.
//!
//! The page asks for the frame after the last it has shown, and waits for the answer. So a slow browser leaves frames out
//! and never falls behind: what is pushed to it would wait in its socket, older with each frame.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use detector::Manifest;
use jpeg_encoder::{ColorType, Encoder};
use merger::ClassNames;
use viewer::http::{Answer, Keep, Request, Response};

use crate::{
    Observed,
    record::{FrameLine, class_names},
};

/// Longest time for which a request waits: shorter than any browser's patience.
const PATIENCE: Duration = Duration::from_secs(10);
const JPEG_QUALITY: u8 = 85;

/// Shows the newest frame to whoever asks. Copies show the same session.
#[derive(Clone)]
pub struct Page(Arc<Shared>);

struct Shared {
    classes: ClassNames,
    newest: Mutex<Newest>,
    changed: Condvar,
}

#[derive(Default)]
struct Newest {
    /// Frames shown so far: the number by which the page asks.
    count: u64,
    line: Arc<Vec<u8>>,
    field: Arc<Vec<u8>>,
    size: (u32, u32),
    has_ended: bool,
}

impl Page {
    /// Makes the page of a session with this model.
    #[must_use]
    pub fn new(manifest: &Manifest) -> Self {
        let (newest, changed) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Shared { classes: class_names(manifest), newest, changed }))
    }

    /// Shows a frame in the place of the last one.
    pub fn show(&self, observed: &Observed<'_>) {
        let line = serde_json::to_vec(&FrameLine::new(observed, &self.0.classes)).unwrap_or_default();
        let (width, height) = observed.size;
        let rows = (0..height as usize).flat_map(|y| &observed.field.row(y)[..width as usize * 3]);
        let field = rows.copied().collect();
        let mut newest = self.lock();
        *newest = Newest {
            count: newest.count + 1,
            line: Arc::new(line),
            field: Arc::new(field),
            size: observed.size,
            has_ended: false,
        };
        self.0.changed.notify_all();
    }

    /// Says that no more frames come; the last one stays.
    pub fn end(&self) {
        self.lock().has_ended = true;
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Newest> {
        self.0.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `{"count", "ended", "line"}` once there is a frame after `count`, or the end; the same count after a while.
    fn after(&self, count: u64) -> Response {
        let newest = self
            .0
            .changed
            .wait_timeout_while(self.lock(), PATIENCE, |newest| newest.count <= count && !newest.has_ended);
        let newest = newest.unwrap_or_else(PoisonError::into_inner).0;
        let line = if newest.line.is_empty() { "null".into() } else { String::from_utf8_lossy(&newest.line) };
        let body = format!("{{\"count\":{},\"ended\":{},\"line\":{line}}}", newest.count, newest.has_ended);
        Response::ok("application/json", Keep::No, body.into_bytes())
    }

    fn picture(&self, count: u64) -> Response {
        let (field, size) = {
            let newest = self.lock();
            if newest.count != count || count == 0 {
                return Response::refusal(404, "that frame is gone: a newer one is there");
            }
            (Arc::clone(&newest.field), newest.size)
        };
        let mut jpeg = Vec::new();
        let [width, height] = [size.0, size.1].map(|side| side.min(u16::MAX.into()) as u16);
        match Encoder::new(&mut jpeg, JPEG_QUALITY).encode(&field, width, height, ColorType::Rgb) {
            Ok(()) => Response::ok("image/jpeg", Keep::No, jpeg),
            Err(error) => Response::refusal(500, &format!("the field cannot be encoded: {error}")),
        }
    }
}

impl Answer for Page {
    fn answer(&self, request: &Request) -> Response {
        const HTML: &str = "text/html; charset=utf-8";
        const SCRIPT: &str = "text/javascript; charset=utf-8";
        const STYLE: &str = "text/css; charset=utf-8";
        match request.path.as_str() {
            "" => Response::ok(HTML, Keep::No, include_bytes!("../page/index.html").to_vec()),
            "live.js" => Response::ok(SCRIPT, Keep::No, include_bytes!("../page/live.js").to_vec()),
            "live.css" => Response::ok(STYLE, Keep::No, include_bytes!("../page/live.css").to_vec()),
            path => match (number(path, "after/", ""), number(path, "field/", ".jpg")) {
                (Some(count), _) => self.after(count),
                (_, Some(count)) => self.picture(count),
                _ => Response::refusal(404, "nothing is here"),
            },
        }
    }
}

fn number(path: &str, start: &str, end: &str) -> Option<u64> {
    path.strip_prefix(start)?.strip_suffix(end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use viewer::http::Method;
    use wsi_types::RgbBuffer;

    use super::*;
    use crate::{Changes, Located, Seen};

    fn page() -> Page {
        Page::new(&Manifest::without_model("blobs", &["blob"], None))
    }

    fn show(page: &Page, frame: u64) {
        let seen = Seen {
            frame,
            located: Located::Lost { confidence: 0.25 },
            shown: Vec::new(),
            changes: Changes::default(),
            mosaic: BTreeMap::new(),
            looked: 0.0,
            is_full: false,
        };
        let field = RgbBuffer::filled(64, 32, [10, 200, 30]);
        page.show(&Observed { seen, dropped: 2, latency: None, field: &field, size: (50, 30) });
    }

    fn get(page: &Page, path: &str) -> Response {
        page.answer(&Request { method: Method::Get, path: path.into(), body: Vec::new() })
    }

    fn json(response: &Response) -> serde_json::Value {
        serde_json::from_slice(&response.body).unwrap()
    }

    #[test]
    fn a_request_waits_for_the_next_frame_and_gets_the_newest() {
        let page = page();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| get(&page, "after/0"));
            show(&page, 7);
            assert_eq!(json(&waits.join().unwrap())["line"]["frame"], 7);
        });
        show(&page, 8);
        show(&page, 9);
        let newest = json(&get(&page, "after/1"));
        assert_eq!(
            (&newest["count"], &newest["line"]["frame"], &newest["line"]["lost"]),
            (&3.into(), &9.into(), &true.into())
        );
        assert_eq!(newest["line"]["dropped"], 2);
        page.end();
        let last = json(&get(&page, "after/3"));
        assert_eq!((&last["count"], &last["ended"]), (&3.into(), &true.into()));
    }

    #[test]
    fn the_field_is_a_picture_and_an_older_one_is_gone() {
        let page = page();
        assert_eq!(get(&page, "field/0.jpg").status, 404, "there is none yet");
        show(&page, 0);
        let picture = get(&page, "field/1.jpg");
        assert_eq!(
            (picture.status, picture.kind, &picture.body[..3]),
            (200, "image/jpeg", &b"\xff\xd8\xff"[..])
        );
        assert_eq!(get(&page, "field/0.jpg").status, 404);
        for (path, status) in
            [("", 200), ("live.js", 200), ("live.css", 200), ("../x", 404), ("after/x", 404)]
        {
            assert_eq!(get(&page, path).status, status, "{path}");
        }
    }
}
