//! Reading a manifest out of a decoded ONNX model and the TOML beside it.

use std::collections::BTreeMap;

use wsi_types::Mpp;

use super::{
    ClassInfo, Dim, Element, Head, ImageInput, Layout, Manifest, ManifestFile, Normalisation, Precision,
    SizesInput, Task,
    embedding::refuse_classes,
    evidence::{Evidence, HeadName, Pixels, Told},
    file::{ClassSection, Described, InputSection},
    head::head,
    hover::hover,
    labels::labels,
    literal::Literal,
    numbers,
    percentile::percentiles,
    points::{Points, points},
    semantic::semantic,
    star::star,
};
use crate::{
    DetectorError,
    onnx::proto::{DimensionValue, Graph, Model, ValueInfo, element},
};

/// Class numbers are [`wsi_types::ModelClass`]s.
const MAX_CLASSES: usize = u16::MAX as usize;

/// Reads the contract of `model`. `name` is used when neither the TOML nor the metadata names it.
pub(crate) fn manifest_of(
    model: &Model,
    file: &ManifestFile,
    name: &str,
    sha256: String,
) -> Result<Manifest, DetectorError> {
    let graph =
        model.graph.as_ref().ok_or(DetectorError::NotOnnx { reason: "it has no graph".to_owned() })?;
    let metadata = Metadata(model);
    check_task(&metadata)?;
    let evidence = evidence(&metadata, file)?;
    let classes = classes(&metadata, file, evidence.stated)?;
    let outputs: Vec<_> = graph.output.iter().map(|value| (value.name.clone(), dims(value))).collect();
    let input = image_input(graph)?;
    file.described.iter().try_for_each(|described| check_described(described, &input, &sha256))?;
    let Told { head, source, outputs: read, pixels } = head(&outputs, classes.len(), &input, &evidence)?;
    numbers::check(graph, &read, head)?;
    let mpp = mpp(&metadata, file)?;
    let points = points(file.points.as_ref(), head, classes.len(), &read, mpp)?;
    let semantic = semantic(file.semantic.as_ref(), head, classes.len(), &read, file.background)?;
    let star = star(file.star.as_ref(), head)?;
    let hover = hover(file.hover.as_ref(), head, &read, &input, mpp)?;
    let labels = labels(file.labels.as_ref(), head, classes.len(), &read, &input)?;
    let (conf, classes) = thresholds(&metadata, file, classes)?;
    Ok(Manifest {
        name: file.name.clone().or_else(|| metadata.text("name")).unwrap_or_else(|| name.to_owned()),
        version: file.version.clone().or_else(|| metadata.model_version()),
        description: file.description.clone().or_else(|| metadata.text("description")),
        attribution: file.attribution.clone().or_else(|| metadata.text("attribution")),
        licence: file
            .licence
            .clone()
            .or_else(|| metadata.text("licence"))
            .or_else(|| metadata.text("license")),
        task: task(&metadata, head)?,
        head,
        head_source: source,
        nms_iou: nms_iou(&metadata, file, points.as_ref())?,
        points,
        semantic,
        star,
        hover,
        labels,
        classes,
        mpp,
        max_object_um: within("max_object_um", file.max_object_um, &metadata, 0.01..=100_000.0)?,
        piece_overlap_px: piece_overlap(file, &input)?,
        stride: stride(&metadata, file)?,
        imgsz: imgsz(&metadata)?,
        conf,
        cross_class_iou: within("cross_class_iou", file.cross_class_iou, &metadata, 0.0..=1.0)?,
        normalisation: normalisation(&file.input, pixels, input.element)?,
        input,
        opset: opset(model),
        unread: outputs.into_iter().filter(|output| !read.contains(output)).map(|(name, _)| name).collect(),
        outputs: read,
        precision: precision(graph),
        sha256,
        parity: file.parity.clone(),
    })
}

/// Refuses a model that is another than the file beside it says: of another side its scale would be another too.
fn check_described(described: &Described, input: &ImageInput, sha256: &str) -> Result<(), DetectorError> {
    let refused = |reason: String| Err(DetectorError::manifest(described.file, reason));
    let sides = (input.width.fixed(), input.height.fixed());
    match &described.sha256 {
        Some(stated) if stated != sha256 => {
            return refused(format!(
                "is of other weights: their SHA-256 is {stated} there, and that of the model {sha256}"
            ));
        }
        _ => {}
    }
    match (described.side, described.layout) {
        (Some((width, height)), _) if sides != (Some(width.into()), Some(height.into())) => refused(format!(
            "pictures are {width} × {height} px there, but the model takes {} × {}: export it for that size",
            input.width, input.height
        )),
        (_, Some(layout)) if layout != input.layout => {
            refused(format!("axes are {layout:?} there, but those of the model {:?}", input.layout))
        }
        _ => Ok(()),
    }
}

/// The key-value pairs a model carries.
struct Metadata<'a>(&'a Model);

impl Metadata<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.metadata_props.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// Its own version: Ultralytics writes that of its package under the same key.
    fn model_version(&self) -> Option<String> {
        let by_ultralytics = self.get("author") == Some("Ultralytics");
        self.text("version").filter(|_| !by_ultralytics)
    }

    fn literal(&self, key: &str) -> Result<Option<Literal>, DetectorError> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let literal = Literal::parse(text).map_err(|e| DetectorError::manifest(key, e.to_string()))?;
        Ok(Some(literal).filter(|literal| !matches!(literal, Literal::None)))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, DetectorError> {
        match self.literal(key)? {
            None => Ok(None),
            Some(Literal::Number(value)) => Ok(Some(value)),
            Some(_) => Err(DetectorError::manifest(key, "expected a number")),
        }
    }

    /// `true` if Ultralytics' `args` say that the model was exported with this switched on. Arguments that
    /// cannot be read say nothing: they are notes, not a part of the contract.
    fn is_argument_set(&self, name: &str) -> bool {
        let Some(Ok(Literal::Dict(arguments))) = self.get("args").map(Literal::parse) else { return false };
        arguments.contains(&(Literal::Text(name.to_owned()), Literal::Bool(true)))
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, DetectorError> {
        match self.literal(key)? {
            None => Ok(None),
            Some(Literal::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(DetectorError::manifest(key, "expected True or False")),
        }
    }
}

/// Collects the evidence, beside shapes, of how the model answers.
fn evidence(metadata: &Metadata<'_>, file: &ManifestFile) -> Result<Evidence, DetectorError> {
    let own = match metadata.flag("end2end")? {
        // Exported with suppression inside, which older exporters note among the arguments alone.
        _ if metadata.is_argument_set("nms") => Some(true),
        own => own,
    };
    Ok(Evidence {
        stated: file.head.as_deref().map(HeadName::parse).transpose()?,
        end2end: file.end2end.or(own),
        activation: file.activation,
        background: file.background,
        hover: file.hover.clone().unwrap_or_default(),
        // `head` is the name of Ultralytics' own class, such as `RTDETRDecoder`.
        words: ["description", "head"].map(|key| metadata.text(key).unwrap_or_default()).join(" "),
    })
}

/// The version of the standard operators that the model was exported with.
fn opset(model: &Model) -> Option<i64> {
    let standard = model.opset_import.iter().find(|set| set.domain.is_empty() || set.domain == "ai.onnx");
    standard.map(|set| set.version)
}

/// A number from the TOML, else the metadata, that must lie in `range`.
fn within(
    key: &str,
    from_file: Option<f64>,
    metadata: &Metadata<'_>,
    range: std::ops::RangeInclusive<f64>,
) -> Result<Option<f64>, DetectorError> {
    let value = match from_file {
        Some(value) => Some(value),
        None => metadata.number(key)?,
    };
    match value {
        Some(value) if !range.contains(&value) => Err(DetectorError::manifest(
            key,
            format!("is {value}, expected {} to {}", range.start(), range.end()),
        )),
        value => Ok(value),
    }
}

/// The agreement from which boxes are one object. Boxes of points are nominal: two that may be neighbours must stay two.
fn nms_iou(
    metadata: &Metadata<'_>,
    file: &ManifestFile,
    points: Option<&Points>,
) -> Result<f32, DetectorError> {
    let stated = within("nms_iou", file.nms_iou, metadata, 0.0..=1.0)?;
    match (stated, points.map(Points::nearest_iou)) {
        (Some(iou), Some(nearest)) if iou < nearest => {
            let reason = format!(
                "is {iou}, but boxes of points.diameter_um as near as points.min_distance_um agree by {nearest:.2}: \
                 expected at least that, or a smaller diameter"
            );
            Err(DetectorError::manifest("nms_iou", reason))
        }
        (Some(iou), _) => Ok(iou as f32),
        // Rounded up: neighbours agree by no more than this.
        (None, Some(nearest)) => Ok((nearest as f32).next_up()),
        (None, None) => Ok(Manifest::DEFAULT_NMS_IOU),
    }
}

fn mpp(metadata: &Metadata<'_>, file: &ManifestFile) -> Result<Option<Mpp>, DetectorError> {
    let value = match file.mpp {
        Some(value) => Some(value),
        None => metadata.number("mpp")?,
    };
    let mpp = value.map(Mpp::new).transpose();
    mpp.map_err(|e| DetectorError::manifest("mpp", e.to_string()))
}

fn stride(metadata: &Metadata<'_>, file: &ManifestFile) -> Result<u32, DetectorError> {
    // Ultralytics models are at most that coarse, and those that do not say so are, too.
    let stride = within("stride", file.stride.map(f64::from), metadata, 1.0..=1024.0)?.unwrap_or(32.0);
    match stride.fract() {
        0.0 => Ok(stride as u32),
        _ => Err(DetectorError::manifest("stride", format!("is {stride}, expected a whole number"))),
    }
}

/// Returns the width that pieces share, as stated; it has a meaning only where a larger window is cut.
fn piece_overlap(file: &ManifestFile, input: &ImageInput) -> Result<Option<u32>, DetectorError> {
    const KEY: &str = "piece_overlap_px";
    let Some(stated) = file.piece_overlap_px else { return Ok(None) };
    match input.height.fixed().zip(input.width.fixed()) {
        None => {
            let reason = "the model takes windows of any size and gets none in pieces; leave it out";
            Err(DetectorError::manifest(KEY, reason))
        }
        Some((height, width)) if u64::from(stated) >= height.min(width) => {
            let reason =
                format!("is {stated}, expected less than a side of the model's {width} × {height} px");
            Err(DetectorError::manifest(KEY, reason))
        }
        Some(_) => Ok(Some(stated)),
    }
}

fn imgsz(metadata: &Metadata<'_>) -> Result<Option<[u32; 2]>, DetectorError> {
    let items = match metadata.literal("imgsz")? {
        None => return Ok(None),
        Some(Literal::List(items)) => items,
        Some(one) => vec![one],
    };
    let sides: Vec<Option<u32>> =
        items.iter().map(|item| item.as_index().and_then(|side| u32::try_from(side).ok())).collect();
    match sides[..] {
        [Some(side)] => Ok(Some([side, side])),
        [Some(height), Some(width)] => Ok(Some([height, width])),
        _ => Err(DetectorError::manifest("imgsz", "expected [height, width] in px")),
    }
}

/// Refuses tasks that are none of ours before their outputs are taken for others.
fn check_task(metadata: &Metadata<'_>) -> Result<(), DetectorError> {
    match metadata.get("task") {
        None | Some("detect" | "segment" | "semantic") => Ok(()),
        Some(task) => {
            let reason = format!(
                "is {task}, expected detect (boxes), segment (boxes with outlines) or semantic (a class per place)"
            );
            Err(DetectorError::manifest("task", reason))
        }
    }
}

fn task(metadata: &Metadata<'_>, head: Head) -> Result<Task, DetectorError> {
    let of_head = match head {
        _ if head.is_semantic() => Task::Areas,
        _ if head.dimensions().is_some() => Task::Vectors,
        _ if head.has_outlines() => Task::Segment,
        _ => Task::Detect,
    };
    match (metadata.get("task"), of_head) {
        (None, _)
        | (Some("detect"), Task::Detect)
        | (Some("segment"), Task::Segment)
        | (Some("semantic"), Task::Areas) => Ok(of_head),
        (Some(task), of_head) => {
            let reason = format!("is {task}, but the outputs are those of a {of_head:?} head");
            Err(DetectorError::manifest("task", reason))
        }
    }
}

const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

fn normalisation(
    section: &InputSection,
    pixels: Pixels,
    element: Element,
) -> Result<Normalisation, DetectorError> {
    let default = Normalisation::default();
    if let Some(percentiles) = percentiles(section, element)? {
        let colour_order = section.colour_order.unwrap_or(default.colour_order);
        return Ok(Normalisation { percentiles: Some(percentiles), colour_order, scale: 1.0, ..default });
    }
    let default = match pixels {
        Pixels::Over255 => default,
        Pixels::ImageNet => Normalisation { mean: IMAGENET_MEAN, std: IMAGENET_STD, ..default },
        // A graph that takes bytes normalises them itself.
        Pixels::Unsaid | Pixels::Percentiles if element == Element::U8 || section.mean.is_some() => default,
        Pixels::Percentiles => {
            return Err(DetectorError::manifest(
                "input.mean",
                "nothing says how pixels are normalised: models of this kind are trained on pictures that are each \
                 stretched between two of their percentiles, and windows of a slide must all be treated alike; say in a \
                 TOML beside the model, below [input.percentile], low = 1, high = 99.8, per = \"slide\" and \
                 channels = \"each\", for those of the tissue of each slide; or, below [input], mean = low / 255 and \
                 std = (high - low) / 255 of each channel for all slides, or mean = [0, 0, 0] for bytes over 255",
            ));
        }
        Pixels::Unsaid => {
            return Err(DetectorError::manifest(
                "input.mean",
                "nothing says how pixels are normalised, and makers of such models differ; say in a TOML beside the \
                 model, below [input], mean = [0, 0, 0] for bytes over 255 (RT-DETR, D-FINE), or \
                 mean = [0.485, 0.456, 0.406] and std = [0.229, 0.224, 0.225] (DETR, YOLOS, RF-DETR)",
            ));
        }
    };
    let normalisation = Normalisation {
        scale: section.scale.unwrap_or(default.scale),
        mean: section.mean.unwrap_or(default.mean),
        std: section.std.unwrap_or(default.std),
        colour_order: section.colour_order.unwrap_or(default.colour_order),
        percentiles: None,
    };
    if !(normalisation.scale.is_finite() && (1e-6..=1e6).contains(&normalisation.scale)) {
        return Err(DetectorError::manifest("input.scale", "expected a positive number such as 1/255"));
    }
    if !normalisation.mean.iter().all(|mean| mean.is_finite()) {
        return Err(DetectorError::manifest("input.mean", "expected three finite numbers"));
    }
    if !normalisation.std.iter().all(|std| std.is_finite() && *std > 0.0) {
        return Err(DetectorError::manifest("input.std", "expected three positive numbers"));
    }
    Ok(normalisation)
}

/// The classes in the order of their numbers; none for a head of vectors.
fn classes(
    metadata: &Metadata<'_>,
    file: &ManifestFile,
    stated: Option<HeadName>,
) -> Result<Vec<ClassInfo>, DetectorError> {
    if stated == Some(HeadName::Embedding) {
        return refuse_classes(file).map(|()| Vec::new());
    }
    let (key, classes) = match &file.classes {
        Some(sections) => {
            ("classes", sections.iter().map(class_of_section).collect::<Result<Vec<_>, DetectorError>>()?)
        }
        None => ("names", class_names(metadata)?.iter().map(|name| ClassInfo::named(name)).collect()),
    };
    if classes.is_empty() {
        return Err(DetectorError::manifest(key, "there are no classes, expected at least one"));
    }
    if classes.len() > MAX_CLASSES {
        let reason = format!("there are {} classes, expected at most {MAX_CLASSES}", classes.len());
        return Err(DetectorError::manifest(key, reason));
    }
    if let Some(place) = classes.iter().position(|class| class.name.is_empty()) {
        return Err(DetectorError::manifest(key, format!("class {place} has no name")));
    }
    refuse_twins(key, &classes)?;
    Ok(classes)
}

/// Counts and tables go by names: two classes of one name would be counted as one.
fn refuse_twins(key: &str, classes: &[ClassInfo]) -> Result<(), DetectorError> {
    let mut places = BTreeMap::new();
    for (place, class) in classes.iter().enumerate() {
        if let Some(first) = places.insert(class.name.as_str(), place) {
            let reason = format!(
                "classes {first} and {place} are both named {:?}, expected a name for each; name them in a TOML beside \
                 the model, one [[classes]] each",
                class.name
            );
            return Err(DetectorError::manifest(key, reason));
        }
    }
    Ok(())
}

fn class_of_section(section: &ClassSection) -> Result<ClassInfo, DetectorError> {
    Ok(ClassInfo {
        name: section.name.trim().to_owned(),
        colour: section.colour.as_deref().map(colour).transpose()?,
        conf: section.conf.map(|conf| threshold("classes.conf", conf)).transpose()?,
    })
}

fn colour(text: &str) -> Result<[u8; 3], DetectorError> {
    let number = text.strip_prefix('#').filter(|hex| hex.len() == 6);
    let number = number.and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let Some(number) = number else {
        return Err(DetectorError::manifest("classes.colour", format!("is {text}, expected #rrggbb")));
    };
    let [_, red, green, blue] = number.to_be_bytes();
    Ok([red, green, blue])
}

/// The names in the order of their numbers.
fn class_names(metadata: &Metadata<'_>) -> Result<Vec<String>, DetectorError> {
    let wrong = |reason: String| DetectorError::manifest("names", reason);
    let entries = match metadata.literal("names")? {
        None => {
            let fix =
                "the model does not name its classes; name them in a TOML beside it, one [[classes]] each";
            return Err(wrong(fix.to_owned()));
        }
        Some(Literal::Dict(entries)) => entries,
        Some(Literal::List(names)) => {
            names.into_iter().enumerate().map(|(i, name)| (Literal::Number(i as f64), name)).collect()
        }
        Some(_) => return Err(wrong("expected {0: 'name', …}".to_owned())),
    };
    let mut names = vec![None; entries.len()];
    for (key, name) in entries {
        let place = key.as_index().and_then(|index| names.get_mut(usize::try_from(index).ok()?));
        match (place, name) {
            (Some(place @ None), Literal::Text(name)) => *place = Some(name.trim().to_owned()),
            (Some(Some(_)), _) => return Err(wrong(format!("number {key:?} is there twice"))),
            (None, _) => return Err(wrong(format!("key {key:?}, expected 0 and up without gaps"))),
            (_, other) => return Err(wrong(format!("{other:?} is not a name"))),
        }
    }
    Ok(names.into_iter().flatten().collect())
}

fn threshold(key: &str, value: f64) -> Result<f32, DetectorError> {
    match (0.0..=1.0).contains(&value) {
        true => Ok(value as f32),
        false => Err(DetectorError::manifest(key, format!("is {value}, expected 0 to 1"))),
    }
}

/// The default score threshold, and the classes with theirs.
fn thresholds(
    metadata: &Metadata<'_>,
    file: &ManifestFile,
    mut classes: Vec<ClassInfo>,
) -> Result<(f32, Vec<ClassInfo>), DetectorError> {
    let mut default = None;
    match metadata.literal("conf")? {
        None => {}
        Some(Literal::Number(value)) => default = Some(threshold("conf", value)?),
        Some(Literal::Dict(entries)) => {
            for (key, value) in entries {
                let (Literal::Text(name), Literal::Number(value)) = (&key, &value) else {
                    return Err(DetectorError::manifest("conf", "expected {'class': number, …}"));
                };
                let value = threshold("conf", *value)?;
                match classes.iter_mut().find(|class| class.name == *name) {
                    Some(class) => class.conf = class.conf.or(Some(value)),
                    None if name == "default" => default = Some(value),
                    None => return Err(DetectorError::manifest("conf", format!("no class is named {name}"))),
                }
            }
        }
        Some(_) => return Err(DetectorError::manifest("conf", "expected a number")),
    }
    let of_file = file.conf.map(|conf| threshold("conf", conf)).transpose()?;
    Ok((of_file.or(default).unwrap_or(Manifest::DEFAULT_CONF), classes))
}

fn dims(value: &ValueInfo) -> Vec<Dim> {
    let shape = value.tensor().and_then(|tensor| tensor.shape.as_ref());
    let dims = shape.map(|shape| shape.dim.as_slice()).unwrap_or_default();
    dims.iter()
        .map(|dim| match &dim.value {
            Some(DimensionValue::Fixed(size)) => u64::try_from(*size).map_or(Dim::Unknown, Dim::Fixed),
            Some(DimensionValue::Named(name)) if !name.is_empty() => Dim::Named(name.clone()),
            _ => Dim::Unknown,
        })
        .collect()
}

/// The inputs that are not weights: a picture, and where boxes are answered in px the size of it.
fn image_input(graph: &Graph) -> Result<ImageInput, DetectorError> {
    // Before IR version 4, weights were listed as inputs too.
    let inputs: Vec<&ValueInfo> = (graph.input.iter())
        .filter(|value| graph.initializer.iter().all(|tensor| tensor.name != value.name))
        .collect();
    let (sizes, images): (Vec<_>, Vec<_>) =
        inputs.iter().copied().partition(|value| value.name == SIZES_INPUT && inputs.len() > 1);
    let [image] = images[..] else {
        let names: Vec<&str> = inputs.iter().map(|value| value.name.as_str()).take(8).collect();
        let reason = format!("it has {} inputs ({}), expected one", inputs.len(), names.join(", "));
        return Err(DetectorError::UnknownInput { reason });
    };
    let sizes = sizes.first().map(|sizes| sizes_input(sizes)).transpose()?;
    Ok(ImageInput { sizes, ..image_tensor(image)? })
}

/// The name that the authors of RT-DETR and its descendants give it.
const SIZES_INPUT: &str = "orig_target_sizes";

fn sizes_input(value: &ValueInfo) -> Result<SizesInput, DetectorError> {
    let elem_type = value.tensor().map_or(0, |tensor| tensor.elem_type);
    let dims = dims(value);
    let fits = matches!(&dims[..], [_, pair] if pair.allows(2));
    if !fits || ![element::FLOAT, element::INT32, element::INT64].contains(&elem_type) {
        let reason = format!(
            "{} is {} {}, expected [B, 2] of int64, int32 or float",
            value.name,
            element::name(elem_type),
            Dim::list(&dims)
        );
        return Err(DetectorError::UnknownInput { reason });
    }
    Ok(SizesInput { name: value.name.clone(), elem_type })
}

fn image_tensor(input: &ValueInfo) -> Result<ImageInput, DetectorError> {
    let elem_type = input.tensor().map_or(0, |tensor| tensor.elem_type);
    let element = match elem_type {
        element::FLOAT => Element::F32,
        element::FLOAT16 => Element::F16,
        element::UINT8 => Element::U8,
        other => {
            let name = element::name(other);
            let reason = format!("{} is {name}, expected float, float16 or uint8", input.name);
            return Err(DetectorError::UnknownInput { reason });
        }
    };
    let dims = dims(input);
    let (layout, [batch, height, width]) = match &dims[..] {
        [n, Dim::Fixed(3), h, w] => (Layout::Nchw, [n, h, w]),
        [n, h, w, Dim::Fixed(3)] => (Layout::Nhwc, [n, h, w]),
        // A channel count left open is taken for NCHW, as exporters write it.
        [n, c, h, w] if c.fixed().is_none() => (Layout::Nchw, [n, h, w]),
        _ => {
            let expected = "expected [B, 3, H, W] or [B, H, W, 3]";
            let reason = format!("{} has shape {}, {expected}", input.name, Dim::list(&dims));
            return Err(DetectorError::UnknownInput { reason });
        }
    };
    let [batch, height, width] = [batch, height, width].map(Clone::clone);
    Ok(ImageInput { name: input.name.clone(), layout, element, batch, height, width, sizes: None })
}

fn precision(graph: &Graph) -> Precision {
    if graph.node.iter().any(|node| is_quantised(&node.op_type)) {
        return Precision::Int8;
    }
    let [half, single]: [usize; 2] = [element::FLOAT16, element::FLOAT].map(|data_type| {
        let tensors = graph.initializer.iter().filter(|tensor| tensor.data_type == data_type);
        tensors.map(|tensor| tensor.raw_data.len()).sum()
    });
    if half > single { Precision::Fp16 } else { Precision::Fp32 }
}

fn is_quantised(op: &str) -> bool {
    op.contains("QuantizeLinear") || op.starts_with("QLinear") || op.ends_with("Integer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{Dimension, Entry};

    fn fixed(dims: &[i64]) -> Vec<Dimension> {
        dims.iter().map(|&dim| Dimension::fixed(dim)).collect()
    }

    fn model(outputs: &[&[i64]], metadata: &[(&str, &str)]) -> Model {
        let outputs = outputs.iter().enumerate().map(|(i, dims)| {
            let name = format!("output{i}");
            ValueInfo::new(&name, element::FLOAT, fixed(dims))
        });
        let graph = Graph {
            input: vec![ValueInfo::new("images", element::FLOAT, fixed(&[1, 3, 640, 640]))],
            output: outputs.collect(),
            ..Graph::default()
        };
        let entries =
            (metadata.iter()).map(|&(key, value)| Entry { key: key.to_owned(), value: value.to_owned() });
        Model { graph: Some(graph), metadata_props: entries.collect(), ..Model::default() }
    }

    fn read(model: &Model, toml: &str) -> Result<Manifest, DetectorError> {
        manifest_of(model, &ManifestFile::parse(toml)?, "stem", "00".to_owned())
    }

    const THREE: (&str, &str) = ("names", "{0: 'tumour', 2: 'lymphocyte', 1: \"crow's\"}");

    #[test]
    fn ultralytics_metadata_is_enough() {
        let metadata = [
            THREE,
            ("stride", "16"),
            ("task", "segment"),
            ("imgsz", "[640, 320]"),
            ("mpp", "0.25"),
            ("conf", "{'default': 0.2, 'tumour': 0.5}"),
            ("nms_iou", "0.6"),
            ("cross_class_iou", "0.4"),
            ("end2end", "False"),
            ("version", "8.4.190"),
            ("author", "Ultralytics"),
        ];
        let manifest = read(&model(&[&[1, 39, 8400], &[1, 32, 160, 160]], &metadata), "").unwrap();
        let names: Vec<_> = manifest.classes.iter().map(|class| class.name.as_str()).collect();
        assert_eq!(names, ["tumour", "crow's", "lymphocyte"]);
        assert_eq!((manifest.head, manifest.task), (Head::Segment { coefficients: 32 }, Task::Segment));
        assert_eq!((manifest.stride, manifest.imgsz), (16, Some([640, 320])));
        assert_eq!(manifest.mpp.map(Mpp::get), Some(0.25));
        assert_eq!([0, 1].map(|class| manifest.conf_of(wsi_types::ModelClass(class))), [0.5, 0.2]);
        assert_eq!(manifest.nms_iou, 0.6);
        assert_eq!(manifest.cross_class_iou, Some(0.4));
        assert_eq!((manifest.name.as_str(), manifest.version), ("stem", None));
    }

    #[test]
    fn the_toml_overrides() {
        let toml = r##"
            name = "mine"
            mpp = 0.5
            conf = 0.4
            [input]
            mean = [0.1, 0.1, 0.1]
            [[classes]]
            name = "cell"
            colour = "#0102ff"
        "##;
        let manifest = read(&model(&[&[1, 5, 8400]], &[("mpp", "0.25"), ("version", "0.2")]), toml).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.conf), ("mine", 0.4));
        assert_eq!(manifest.version.as_deref(), Some("0.2"));
        assert_eq!(manifest.classes[0].colour, Some([1, 2, 255]));
        assert_eq!(manifest.normalisation.mean, [0.1; 3]);
        assert_eq!(manifest.mpp.map(Mpp::get), Some(0.5));
    }

    #[test]
    fn heads_are_told_apart_by_shape() {
        assert_eq!(head(&[&[1, 7, 8400]], &[]).unwrap(), Head::Detect);
        assert_eq!(head(&[&[1, 300, 6]], &[]).unwrap(), Head::EndToEnd);
        assert_eq!(
            head(&[&[1, 300, 38], &[1, 32, 160, 160]], &[]).unwrap(),
            Head::EndToEndSegment { coefficients: 32 }
        );
        // Both fit: only the metadata can tell.
        assert_eq!(head(&[&[1, 7, 6]], &[]).unwrap(), Head::Detect);
        assert_eq!(head(&[&[1, 7, 6]], &[("end2end", "True")]).unwrap(), Head::EndToEnd);
        let with_nms = ("args", "{'batch': 1, 'half': False, 'opset': None, 'nms': True}");
        assert_eq!(head(&[&[1, 7, 6]], &[with_nms]).unwrap(), Head::EndToEnd);
        assert_eq!(head(&[&[1, 7, 6]], &[("args", "{'nms': False}")]).unwrap(), Head::Detect);
        assert_eq!(head(&[&[1, 7, 6]], &[("args", "Namespace(nms=True)")]).unwrap(), Head::Detect);
        assert_eq!(head(&[&[1, 300, 7]], &[("head", "RTDETRDecoder")]).unwrap(), Head::DetrRows);
    }

    #[test]
    fn unknown_heads_show_both_sides() {
        for outputs in [&[&[1, 84, 8400][..]][..], &[&[1, 8400, 7]], &[&[1, 1000]], &[]] {
            let message = read(&model(outputs, &[THREE]), "").unwrap_err().to_string();
            assert!(message.contains("detect    [B, 7, N]"), "{message}");
            assert!(outputs.is_empty() || message.contains("output0 [1, "), "{message}");
        }
    }

    #[test]
    fn wrong_metadata_is_refused_by_key() {
        assert!(refused(&[("names", "{}")], "").starts_with("names: there are no classes"));
        assert!(refused(&[("names", "{0: 'a', 2: 'b'}")], "").starts_with("names: key"));
        assert!(refused(&[("names", "{0: 'a', 0: 'b'}")], "").contains("twice"));
        assert!(refused(&[("names", "{0: 1}")], "").contains("not a name"));
        assert!(refused(&[("names", "{0: ''}")], "").contains("class 0 has no name"));
        let twins = refused(&[("names", "{0: 'a', 1: 'b', 2: 'a'}")], "");
        assert!(twins.contains("classes 0 and 2 are both named \"a\""), "{twins}");
        assert!(refused(&[("task", "pose")], "").starts_with("task: is pose"));
        assert!(refused(&[("mpp", "40")], "").starts_with("mpp: "));
        assert!(refused(&[("mpp", "a")], "").starts_with("mpp: character 0"));
        assert!(
            refused(&[], "piece_overlap_px = 640").contains("less than a side of the model's 640 × 640 px")
        );
        assert!(refused(&[("stride", "0")], "").starts_with("stride: is 0"));
        assert!(refused(&[("stride", "1.5")], "").contains("whole"));
        assert!(refused(&[("imgsz", "[1, 2, 3]")], "").starts_with("imgsz: "));
        assert!(refused(&[("conf", "2")], "").starts_with("conf: is 2"));
        assert!(refused(&[("conf", "{'no': 0.1}")], "").contains("no class is named no"));
        assert!(refused(&[], "nms_iou = 7").starts_with("nms_iou: is 7"));
        assert!(refused(&[], "[input]\nstd = [0, 1, 1]").starts_with("input.std: "));
        assert!(refused(&[], "[input]\nscale = 0").starts_with("input.scale: "));
        assert!(refused(&[], "classes = []").starts_with("classes: there are no classes"));
        assert!(refused(&[], "[[classes]]\nname = 'a'\ncolour = 'red'").contains("#rrggbb"));
    }

    #[test]
    fn inputs_that_are_no_image_are_refused() {
        let pixels = ValueInfo::new("x", element::UINT8, fixed(&[1, 64, 64, 3]));
        assert_eq!(with_input(vec![pixels]).unwrap().layout, Layout::Nhwc);
        assert!(with_input(vec![]).is_err());
        let four_channels = ValueInfo::new("x", element::FLOAT, fixed(&[1, 4, 64, 64]));
        assert!(with_input(vec![four_channels]).is_err());
        let whole_numbers = ValueInfo::new("x", element::INT64, fixed(&[1, 3, 64, 64]));
        assert!(with_input(vec![whole_numbers]).is_err());
        let open = ValueInfo::new("x", element::FLOAT, vec![Dimension::default(); 4]);
        assert!(with_input(vec![open]).is_ok());
    }

    fn with_input(inputs: Vec<ValueInfo>) -> Result<ImageInput, DetectorError> {
        let mut model = model(&[&[1, 7, 8400]], &[THREE]);
        model.graph.as_mut().unwrap().input = inputs;
        read(&model, "").map(|manifest| manifest.input)
    }

    fn head(outputs: &[&[i64]], metadata: &[(&str, &str)]) -> Result<Head, DetectorError> {
        let metadata: Vec<_> = metadata.iter().copied().chain([THREE]).collect();
        read(&model(outputs, &metadata), "").map(|manifest| manifest.head)
    }

    fn refused(metadata: &[(&str, &str)], toml: &str) -> String {
        let with_names = metadata.iter().any(|(key, _)| *key == "names");
        let names = (!with_names).then_some(THREE);
        let metadata: Vec<_> = metadata.iter().copied().chain(names).collect();
        read(&model(&[&[1, 7, 8400]], &metadata), toml).unwrap_err().to_string()
    }
}
