//! The page itself, as built: no build tool is needed.

/// Returns media type and content of a file of the page.
#[must_use]
pub fn asset(path: &str) -> Option<(&'static str, &'static [u8])> {
    const HTML: &str = "text/html; charset=utf-8";
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    Some(match path {
        "" | "index.html" => (HTML, include_bytes!("../page/index.html")),
        "style.css" => ("text/css; charset=utf-8", include_bytes!("../page/style.css")),
        "compare.html" => (HTML, include_bytes!("../page/compare.html")),
        "compare.js" => (SCRIPT, include_bytes!("../page/compare.js")),
        "page.js" => (SCRIPT, include_bytes!("../page/page.js")),
        "drawing.js" => (SCRIPT, include_bytes!("../page/drawing.js")),
        "cells.js" => (SCRIPT, include_bytes!("../page/cells.js")),
        "openseadragon.js" => (SCRIPT, include_bytes!("../page/openseadragon/openseadragon.min.js")),
        "openseadragon.license.txt" => {
            ("text/plain; charset=utf-8", include_bytes!("../page/openseadragon/LICENSE.txt"))
        }
        _ => return None,
    })
}

/// Returns the page for a folder without a server: its data comes as a script.
pub(crate) fn exported_index() -> String {
    let html = include_str!("../page/index.html");
    html.replace("<!--export-->", "<script src=\"data.js\"></script>")
}
