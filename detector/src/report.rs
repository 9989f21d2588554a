//! The contract of a model, for people: `slidemill model MODEL`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use wsi_types::wording::counted;

use crate::{
    DetectorError, Manifest,
    manifest::{
        Activation, Background, Dim, Element, Head, HeadSource, HoverScores, ManifestFile, Precision, Task,
    },
    onnx::{
        Model,
        proto::{self, Node, element},
        read_contract, read_manifest_beside, read_model,
    },
};

/// A model's contract as understood. Its [`Display`](fmt::Display) is the text of `slidemill model`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelReport {
    /// The contract.
    pub manifest: Manifest,
    /// Size of the ONNX file.
    pub bytes: u64,
    /// Notes on what is not wrong but should be known before a run.
    pub notes: Vec<String>,
    /// Facts that neither the file nor its TOML states, and why they are taken to be so.
    pub assumed: Vec<String>,
}

/// Reads the contract of a model file and of the TOML beside it. Needs no runtime and no device.
///
/// # Errors
///
/// A [`DetectorError`] that says what is wrong with it; for outputs that fit no head, the shapes it has
/// against the shapes we know.
pub fn describe(model: &Path) -> Result<ModelReport, DetectorError> {
    let file = read_manifest_beside(model)?;
    let name = model.file_stem().unwrap_or_default().to_string_lossy();
    let bytes = read_model(model).map_err(|e| e.of_file(model))?;
    report(&bytes, &file, &name).map_err(|e| e.of_file(model))
}

/// The same of a model held in memory; `manifest` is the text of its TOML, empty for none.
///
/// # Errors
///
/// As [`describe`].
pub fn describe_bytes(name: &str, model: &[u8], manifest: &str) -> Result<ModelReport, DetectorError> {
    report(model, &ManifestFile::parse(manifest)?, name)
}

fn report(bytes: &[u8], file: &ManifestFile, name: &str) -> Result<ModelReport, DetectorError> {
    let (proto, manifest) = read_contract(bytes, file, name)?;
    // Its input must take what is put in front of it.
    Model::read(bytes, file, name)?;
    let metadata: Vec<&str> = proto.metadata_props.iter().map(|entry| entry.key.as_str()).collect();
    let assumed = assumed(&manifest, file, &metadata);
    Ok(ModelReport { notes: notes(&manifest, &proto), assumed, bytes: bytes.len() as u64, manifest })
}

/// Facts that neither the TOML nor the keys of the model's metadata state, and why they are taken to be so.
fn assumed(manifest: &Manifest, file: &ManifestFile, metadata: &[&str]) -> Vec<String> {
    let mut assumed = Vec::new();
    if !matches!(manifest.head_source, HeadSource::Stated | HeadSource::Export) {
        assumed.push(format!("head: {}, {}", manifest.head, manifest.head_source));
    }
    let has_scores = manifest.head.has_objects();
    if has_scores && file.conf.is_none() && !metadata.contains(&"conf") {
        assumed.push(format!("conf: {}, the default of Ultralytics", manifest.conf));
    }
    if manifest.head.has_duplicates() && file.nms_iou.is_none() && !metadata.contains(&"nms_iou") {
        assumed.push(format!("nms_iou: {}, the default of Ultralytics", manifest.nms_iou));
    }
    if file.stride.is_none() && !metadata.contains(&"stride") && manifest.fixed_input().is_none() {
        assumed.push(format!("stride: {} px, which is that of most models", manifest.stride));
    }
    if file.input.mean.is_none()
        && file.input.scale.is_none()
        && file.input.percentile.is_none()
        && manifest.input.element != Element::U8
    {
        assumed.push(format!("pixels: {}, as makers of this kind give them", manifest.normalisation));
    } else if file.input.colour_order.is_none() {
        assumed.push("colour_order: rgb, as most frameworks read pictures".to_owned());
    }
    assumed
}

/// Returns notes on what should be known before a run.
fn notes(manifest: &Manifest, proto: &proto::Model) -> Vec<String> {
    let mut notes = Vec::new();
    if manifest.mpp.is_none() {
        notes.push(
            "it does not say its mpp: a run needs `mpp = 0.25`, or what it was trained at, in a TOML beside it"
                .to_owned(),
        );
    }
    if manifest.max_object_um.is_none() && manifest.head.has_objects() {
        notes.push("it does not say its largest object: --overlap auto cannot be used".to_owned());
    }
    notes.extend(limit_note(manifest));
    if manifest.parity.as_ref().is_some_and(|parity| parity.model_sha256 != manifest.sha256) {
        notes.push(
            "its [parity] is the receipt of another file: compare it again with --reference".to_owned(),
        );
    }
    if manifest.points.is_some() {
        notes.push(
            "it says where objects are, not how large: boxes and areas of its cells are nominal, of points.diameter_um"
                .to_owned(),
        );
    }
    if manifest.head_source == HeadSource::Open {
        notes.push(
            "the sides of its output are open and nothing says whether duplicates are gone: it is read as boxes by \
             columns; if each row is two corners, a score and a class, say `end2end = true` in a TOML beside it"
                .to_owned(),
        );
    }
    if let Some(opset) = manifest.opset.filter(|&opset| opset > Manifest::BEST_OPSET) {
        notes.push(format!(
            "its opset is {opset}: exported with opset 18 it runs up to twice as fast on CUDA, which lacks newer \
             operators"
        ));
    }
    if manifest.precision == Precision::Fp16
        && manifest.imgsz.is_some_and(|sides| sides.iter().any(|&s| s > 1024))
        && proto.graph.as_ref().is_some_and(answers_in_half)
    {
        notes.push(
            "fp16 numbers above 1024 are 1 px apart: boxes far from the window's origin are rounded"
                .to_owned(),
        );
    }
    notes
}

/// `true` if the first output is fp16, or made of fp16 numbers that are more than what a convolution gave: the places of boxes
/// are computed after the last of them.
fn answers_in_half(graph: &proto::Graph) -> bool {
    let Some(output) = graph.output.first() else { return false };
    if output.tensor().is_some_and(|tensor| tensor.elem_type == element::FLOAT16) {
        return true;
    }
    let makers: BTreeMap<&str, &Node> = graph
        .node
        .iter()
        .flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)))
        .collect();
    // Backwards from the output; of each number, whether it has been widened from fp16.
    let mut open = vec![(output.name.as_str(), false)];
    let mut seen = BTreeSet::new();
    while let Some((name, widened)) = open.pop() {
        let Some(node) = makers.get(name).filter(|_| seen.insert((name, widened))) else { continue };
        match node.op_type.as_str() {
            "Constant" | "Conv" | "Shape" => {}
            "Cast" => open.extend(node.input.first().map(|input| (input.as_str(), true))),
            "Concat" | "Gather" | "Reshape" | "Slice" | "Split" | "Squeeze" | "Transpose" | "Unsqueeze" => {
                open.extend(node.input.iter().map(|input| (input.as_str(), widened)));
            }
            _ if widened => return true,
            _ => open.extend(node.input.iter().map(|input| (input.as_str(), false))),
        }
    }
    false
}

/// Cells per mm² of dense tissue.
const DENSE_PER_MM2: f64 = 10_000.0;

/// Tells how many objects a window may hold, and how large that lets it be.
fn limit_note(manifest: &Manifest) -> Option<String> {
    if !manifest.head.is_end_to_end() {
        return None;
    }
    let Some(most) = manifest.most_answers() else {
        let cure = if manifest.fixed_input().is_some() { "" } else { ", or use small windows" };
        return Some(format!(
            "it answers a fixed number of objects per window: windows that reach it are counted and named{cure}"
        ));
    };
    let size = manifest.mpp.map(|mpp| {
        let side_um = (most as f64 / DENSE_PER_MM2).sqrt() * 1000.0;
        let side_px = (side_um / mpp.get()) as u64;
        format!("; dense tissue has {DENSE_PER_MM2} cells per mm², which fit into {side_px} px at {mpp}")
    });
    Some(format!(
        "it answers at most {most} objects per window{}; windows that reach it are counted and named",
        size.unwrap_or_default()
    ))
}

impl fmt::Display for ModelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.manifest;
        let mut line = |key: &str, value: &dyn fmt::Display| writeln!(f, "{key:<14} {value}");
        line("model", &in_one_line(&m.name))?;
        line("version", &said(m.version.as_ref()))?;
        line("description", &said(m.description.as_ref()))?;
        line("licence", &said(m.licence.as_ref()))?;
        line("attribution", &said(m.attribution.as_ref()))?;
        line("sha256", &m.sha256)?;
        line("size", &format!("{:.1} MB, {}", self.bytes as f64 / 1e6, m.precision))?;
        line("task", &task_line(m))?;
        line("head", &format!("{} ({})", head_line(m.head, m.classes.len()), m.head_source))?;
        for (name, shape) in &m.outputs {
            line("output", &format!("{name} {}", Dim::list(shape)))?;
        }
        if let Some(points) = &m.points {
            line("points", points)?;
        }
        if let Some(semantic) = &m.semantic {
            line("areas", semantic)?;
        }
        if let Some(star) = &m.star {
            line("rays", star)?;
        }
        if let Some(hover) = &m.hover {
            line("instances", hover)?;
        }
        if let Some(labels) = &m.labels {
            line("instances", labels)?;
        }
        for name in &m.unread {
            line("output", &format!("{name} is not read"))?;
        }
        line("input", &input_line(m))?;
        if let Some(sizes) = &m.input.sizes {
            line("input", &format!("{}: filled with the size of each window", sizes.name))?;
        }
        line("pixels", &pixels_line(m))?;
        line("window", &window_line(m))?;
        line("mpp", &said(m.mpp))?;
        line("largest object", &said(m.max_object_um.map(|um| format!("{um} µm"))))?;
        let across = m.cross_class_iou.map(|iou| format!(", {iou} across classes")).unwrap_or_default();
        if m.head.dimensions().is_none() {
            line("thresholds", &format!("score {}, NMS IoU {}{across}", m.conf, m.nms_iou))?;
            line("classes", &m.classes.len())?;
        }
        for (number, class) in m.classes.iter().enumerate() {
            let conf = class.conf.map(|conf| format!(", score {conf}")).unwrap_or_default();
            let colour =
                class.colour.map(|[r, g, b]| format!(", #{r:02x}{g:02x}{b:02x}")).unwrap_or_default();
            line("", &format!("{number} {}{conf}{colour}", in_one_line(&class.name)))?;
        }
        if let Some(parity) = &m.parity {
            line("parity", parity)?;
        }
        for note in &self.notes {
            line("note", note)?;
        }
        Ok(())
    }
}

/// A value as the model's maker gave it.
fn said(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "not said".to_owned(), |value| in_one_line(&value.to_string()))
}

/// A text of the file, which may hold the end of a line and must not make up another.
fn in_one_line(text: &str) -> String {
    text.replace('\n', "\\n")
}

fn task_line(m: &Manifest) -> &'static str {
    match m.task {
        Task::Detect => "detect: boxes",
        Task::Segment => "segment: boxes with an outline each",
        Task::Areas => "areas: the class of each place, which become regions",
        Task::Vectors => "vectors: one for each window, which become rows of patches",
    }
}

fn head_line(head: Head, classes: usize) -> String {
    let rows = classes + 4;
    match head {
        Head::Detect => format!("[B, {rows}, N]: 4 box rows, {}", counted(classes, "score row")),
        Head::Segment { coefficients: m } => {
            let [scores, masks] =
                [(classes, "score row"), (m, "mask row")].map(|(count, noun)| counted(count, noun));
            format!("[B, {}, N]: 4 box rows, {scores}, {masks}", rows + m)
        }
        Head::EndToEnd => "[B, K, 6]: duplicates already gone".to_owned(),
        Head::EndToEndSegment { coefficients: m } => {
            format!("[B, K, {}]: duplicates already gone, {m} mask columns", 6 + m)
        }
        Head::Objectness { grid } => {
            let boxes = if grid { "relative to the places of grids" } else { "in px" };
            format!("[B, N, {}]: 4 box columns {boxes}, objectness, {classes} score columns", rows + 1)
        }
        Head::DetrRows => {
            format!("[B, Q, {rows}]: 4 box columns in fractions of the window, {classes} score columns")
        }
        Head::Detr { activation, background } => detr_line(classes, activation, background),
        Head::DetrFinal { joined: false } => {
            "[B, K, 4]: two corners in px; scores and labels [B, K]".to_owned()
        }
        Head::Points { activation } => {
            let values = through(activation);
            format!("[B, K, rows, columns]: maps whose peaks are objects, {values}")
        }
        Head::Semantic { scores: None } => "[B, rows, columns]: class numbers".to_owned(),
        Head::Semantic { scores: Some(activation) } => {
            let values = through(activation);
            format!("[B, K, rows, columns]: a place is of the class of its largest map, {values}")
        }
        Head::Patch { activation } => {
            let values = through(activation);
            format!("[B, K]: a window is of the class of its largest score, {values}")
        }
        Head::Star { activation, channels, .. } => {
            let values = through(activation);
            format!("maps, {channels}: of an object, {values}, and distances to its border along rays")
        }
        Head::Hover { scores } => hover_line(scores, classes),
        Head::Labels => {
            "[B, K, H, W] or [B, H, W]: the number of the object at each place, each with score 1".to_owned()
        }
        Head::Embedding { dimensions } => {
            format!("[B, {dimensions}]: a vector for each window, kept in halves")
        }
        Head::DetrFinal { joined: true } => {
            "[B, K, 5]: two corners in px and a score; labels [B, K]".to_owned()
        }
    }
}

fn hover_line(scores: HoverScores, classes: usize) -> String {
    let by = match scores {
        HoverScores::Types { background } => {
            let types = classes + background.scores();
            let none = match background {
                Background::None => String::new(),
                place => format!(", the {place} of them of no class"),
            };
            format!("a class by most px of [B, {types}, H, W]{none}, and their share as score")
        }
        HoverScores::Nuclei { activation: Activation::None } => "the mean probability as score".to_owned(),
        HoverScores::Nuclei { activation } => {
            format!("the mean probability, through a {activation}, as score")
        }
    };
    format!("[B, 2, H, W]: nuclei, cut where they touch by offsets [B, 2, H, W]; {by}")
}

/// Tells how scores become probabilities.
fn through(activation: Activation) -> String {
    match activation {
        Activation::None => "probabilities".to_owned(),
        raw => format!("through a {raw}"),
    }
}

fn detr_line(classes: usize, activation: Activation, background: Background) -> String {
    let scores = classes + background.scores();
    let activation = through(activation);
    let background = match background {
        Background::None => String::new(),
        place => format!(", the {place} of them of no class"),
    };
    format!("[B, Q, 4]: boxes in fractions of the window; [B, Q, {scores}]: scores, {activation}{background}")
}

fn input_line(m: &Manifest) -> String {
    let i = &m.input;
    let batch = i.batch.fixed().map_or_else(|| "any batch".to_owned(), |batch| format!("batch {batch}"));
    let size = match (i.height.fixed(), i.width.fixed()) {
        (Some(height), Some(width)) => format!("{width} × {height} px"),
        _ => "any size".to_owned(),
    };
    let (element, layout) = (format!("{:?}", i.element), format!("{:?}", i.layout));
    format!("{}: {}, {}, {batch}, {size}", i.name, element.to_lowercase(), layout.to_uppercase())
}

/// Tells what becomes of a window's bytes before the first layer.
fn pixels_line(m: &Manifest) -> String {
    let n = &m.normalisation;
    let order = format!("{:?}", n.colour_order).to_uppercase();
    if let Some(percentiles) = &n.percentiles {
        return format!("{order} bytes stretched between {percentiles}, inside the graph");
    }
    let scale = match n.scale {
        scale if (scale * 255.0 - 1.0).abs() < 1e-6 => " / 255".to_owned(),
        1.0 => String::new(),
        scale => format!(" × {scale}"),
    };
    let shifted = n.mean != [0.0; 3] || n.std != [1.0; 3];
    let shift = if shifted { format!(", less {:?}, over {:?}", n.mean, n.std) } else { String::new() };
    format!("{order} bytes{scale}{shift}, inside the graph")
}

/// Tells the width that pieces of a larger window share, as far as the model says.
fn shared_line(m: &Manifest) -> String {
    match (m.piece_overlap_px, m.max_object_um) {
        (Some(px), _) => format!("{px} px"),
        (None, Some(um)) => format!("twice its largest object, {} µm, at most half of their side", 2.0 * um),
        (None, None) => "half of their side, as it does not say its largest object".to_owned(),
    }
}

fn window_line(m: &Manifest) -> String {
    match (m.input.height.fixed(), m.input.width.fixed()) {
        (Some(height), Some(width)) if m.head.dimensions().is_some() => {
            format!("exactly {width} × {height} px")
        }
        (Some(height), Some(width)) => {
            format!("exactly {width} × {height} px, larger ones in pieces that share {}", shared_line(m))
        }
        _ => {
            let exported = m.imgsz.map(|[h, w]| format!(", exported at {w} × {h}")).unwrap_or_default();
            format!("multiples of {} px{exported}", m.stride)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{Graph, ValueInfo};

    /// Whether a graph whose only output is the last node's, of some type, answers in fp16.
    fn half(nodes: &[(&str, &[&str], &str)], elem_type: i32) -> bool {
        let output = nodes.last().map_or("", |(_, _, output)| output);
        answers_in_half(&Graph {
            node: nodes
                .iter()
                .map(|(operator, inputs, output)| Node::new(operator, inputs, output))
                .collect(),
            output: vec![ValueInfo::new(output, elem_type, Vec::new())],
            ..Graph::default()
        })
    }

    #[test]
    fn boxes_made_of_widened_convolutions_are_not_rounded() {
        let decoded_after: [(&str, &[&str], &str); 6] = [
            ("Conv", &["images", "weights"], "map"),
            ("Slice", &["map", "from", "to"], "part"),
            ("Cast", &["part"], "wide"),
            ("Mul", &["wide", "stride"], "px"),
            ("Shape", &["map"], "size"),
            ("Reshape", &["px", "size"], "boxes"),
        ];
        assert!(!half(&decoded_after, element::FLOAT));
        assert!(half(&decoded_after, element::FLOAT16), "whatever it is made of");
        let decoded_before: [(&str, &[&str], &str); 4] = [
            ("Conv", &["images", "weights"], "map"),
            ("Mul", &["map", "stride"], "px"),
            ("Reshape", &["px", "size"], "boxes"),
            ("Cast", &["boxes"], "wide"),
        ];
        assert!(half(&decoded_before, element::FLOAT));
        assert!(!answers_in_half(&Graph::default()));
    }
}
