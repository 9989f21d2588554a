//! Models made in code, run by the real ONNX Runtime. Where it is absent the tests say so and pass.
use prost::Message;
use wsi_types::{Detection, WindowIndex};

use super::{
    Model,
    proto::{
        self, Attribute, Dimension, DimensionValue, Entry, Graph, Node, OperatorSet, Tensor, ValueInfo,
        element,
    },
    run::Runner,
    session::{OrtRunner, SessionSettings},
};
use crate::{
    BatchView, DetectSettings, Detector, DetectorError, Device, OnnxDetector, WindowFault, WindowResult,
    manifest::ManifestFile,
};

/// False, with a visible note, where ONNX Runtime is not installed.
fn runtime_is_there() -> bool {
    let found = native::find(native::Library::OnnxRuntime);
    if let Err(e) = &found {
        eprintln!("skipped: ONNX Runtime is absent: {e}");
    }
    found.is_ok()
}

fn named(name: &str) -> Dimension {
    Dimension { value: Some(DimensionValue::Named(name.to_owned())) }
}

/// A model of these nodes; `images` is `[batch, 3, height, width]`, `output0` `[batch, rows, N]`.
fn model(nodes: Vec<Node>, weights: Vec<Tensor>, kind: i32, batch: Dimension, rows: i64) -> Vec<u8> {
    let image = vec![batch.clone(), Dimension::fixed(3), named("height"), named("width")];
    let head = vec![batch, Dimension::fixed(rows), named("anchors")];
    let graph = Graph {
        node: nodes,
        name: "test".to_owned(),
        initializer: weights,
        input: vec![ValueInfo::new("images", kind, image)],
        output: vec![ValueInfo::new("output0", kind, head)],
    };
    encoded(graph, &[("names", "{0: 'cell'}"), ("stride", "4"), ("task", "detect")])
}

/// Bytes of a model with this graph and metadata.
fn encoded(graph: Graph, metadata: &[(&str, &str)]) -> Vec<u8> {
    let entries =
        metadata.iter().map(|(key, value)| Entry { key: (*key).to_owned(), value: (*value).to_owned() });
    let model = proto::Model {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: 17 }],
        metadata_props: entries.collect(),
        ..proto::Model::default()
    };
    model.encode_to_vec()
}

fn float(name: &str, dims: &[i64], values: &[f32], kind: i32) -> Tensor {
    let mut tensor = Tensor::floats(name, dims, values);
    if kind == element::FLOAT16 {
        tensor.raw_data = values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
        tensor.data_type = kind;
    }
    tensor
}

/// A detect head of stride 4: the top left pixel of each cell gives the box. Centre x = red, centre y =
/// green, width and height 8 px, score = blue / 255.
fn pixel_head(kind: i32, batch: Dimension) -> Vec<u8> {
    let mut kernel = vec![0.0; 5 * 3 * 16];
    for (row, channel, weight) in [(0, 0, 255.0), (1, 1, 255.0), (4, 2, 1.0)] {
        kernel[(row * 3 + channel) * 16] = weight;
    }
    let nodes = vec![
        Node::new("Conv", &["images", "kernel", "bias"], "cells").with(Attribute::ints("strides", &[4, 4])),
        Node::new("Reshape", &["cells", "shape"], "output0"),
    ];
    let weights = vec![
        float("kernel", &[5, 3, 4, 4], &kernel, kind),
        float("bias", &[5], &[0.0, 0.0, 8.0, 8.0, 0.0], kind),
        Tensor::ints("shape", &[3], &[0, 5, -1]),
    ];
    model(nodes, weights, kind, batch, 5)
}

#[test]
fn the_cpu_can_be_used_wherever_the_runtime_is() {
    if !runtime_is_there() {
        return;
    }
    let devices = crate::devices().unwrap();
    assert_eq!(devices[0].device, Device::Cpu);
    assert!(devices[0].fault.is_none(), "{:?}", devices[0].fault);
}

const SIDE: usize = 32;

fn settings(threads: usize, batch: usize) -> SessionSettings {
    SessionSettings { threads, batch, window: (SIDE, SIDE), ..SessionSettings::default() }
}

/// A window of `SIDE` px with these pixels at the corners of cells: (cell x, cell y, colour).
fn painted(cells: &[(usize, usize, [u8; 3])]) -> Vec<u8> {
    let mut pixels = vec![0; SIDE * SIDE * 3];
    for &(x, y, colour) in cells {
        pixels[(y * 4 * SIDE + x * 4) * 3..][..3].copy_from_slice(&colour);
    }
    pixels
}

fn open(model: &[u8], session: &SessionSettings) -> Result<OnnxDetector, DetectorError> {
    OnnxDetector::from_bytes("test", model, "", &Device::Cpu, &DetectSettings::default(), session)
}

fn detect(model: &[u8], session: &SessionSettings, windows: &[Vec<u8>]) -> Vec<WindowResult> {
    let indices: Vec<_> = (0..windows.len() as u32).map(WindowIndex).collect();
    let pixels = windows.concat();
    let batch = BatchView { height: SIDE, width: SIDE, windows: &indices, pixels: &pixels, stretch: None };
    open(model, session).unwrap().detect(batch).unwrap()
}

fn boxes(detections: &[Detection]) -> Vec<([f32; 4], f32)> {
    let each = detections
        .iter()
        .map(|d| ([d.bbox.min.x, d.bbox.min.y, d.bbox.max.x, d.bbox.max.y], (d.score.get() * 255.0).round()));
    each.collect()
}

/// Three windows: two boxes and a duplicate, nothing, one box.
fn three_windows() -> Vec<Vec<u8>> {
    vec![
        painted(&[(0, 0, [10, 12, 200]), (1, 0, [11, 12, 180]), (5, 5, [24, 20, 100]), (2, 2, [4, 4, 20])]),
        painted(&[]),
        painted(&[(7, 7, [30, 28, 255])]),
    ]
}

#[test]
fn windows_become_boxes() {
    if !runtime_is_there() {
        return;
    }
    for (kind, batch) in [
        (element::FLOAT, named("batch")),
        (element::FLOAT, Dimension::fixed(1)),
        (element::FLOAT, Dimension::fixed(2)),
        (element::FLOAT16, named("batch")),
    ] {
        let results = detect(&pixel_head(kind, batch), &settings(1, 4), &three_windows());
        let found: Vec<_> = results.iter().map(|r| boxes(r.outcome.as_ref().unwrap())).collect();
        assert_eq!(found[0], [([6., 8., 14., 16.], 200.), ([20., 16., 28., 24.], 100.)]);
        assert!(found[1].is_empty());
        assert_eq!(found[2], [([26., 24., 34., 32.], 255.)]);
        assert_eq!(results.iter().map(|r| r.window.0).collect::<Vec<_>>(), [0, 1, 2]);
    }
}

#[test]
fn threads_and_batches_change_nothing() {
    if !runtime_is_there() {
        return;
    }
    let model = pixel_head(element::FLOAT, named("batch"));
    let expected = detect(&model, &settings(1, 1), &three_windows());
    for session in [settings(1, 4), settings(2, 1), settings(2, 3)] {
        assert_eq!(detect(&model, &session, &three_windows()), expected);
    }
}

#[test]
fn the_u8_path_gives_the_tensor_the_float_path_would() {
    if !runtime_is_there() {
        return;
    }
    let nodes = vec![Node::new("Reshape", &["images", "shape"], "output0")];
    let bytes =
        model(nodes, vec![Tensor::ints("shape", &[3], &[0, 5, -1])], element::FLOAT, named("batch"), 5);
    let every_byte: Vec<u8> = (0..2 * 5 * 256 * 3).map(|i| (i * 7 % 256) as u8).collect();
    let (height, width) = (5, 256);
    let windows = [WindowIndex(0), WindowIndex(1)];
    let batch = BatchView { height, width, windows: &windows, pixels: &every_byte, stretch: None };
    for (toml, mean, std, order) in [
        ("", [0.0; 3], [1.0; 3], [0, 1, 2]),
        (
            "[input]\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\ncolour_order = 'bgr'",
            [0.485f32, 0.456, 0.406],
            [0.229f32, 0.224, 0.225],
            [2, 1, 0],
        ),
    ] {
        let model = Model::read(&bytes, &ManifestFile::parse(toml).unwrap(), "test").unwrap();
        let (mut runner, device) = OrtRunner::open(&model, &Device::Cpu, &settings(1, 2)).unwrap();
        assert_eq!(device, Device::Cpu);
        let outputs = runner.run(batch).unwrap();
        let tensor = outputs[0].floats();
        let plane = height * width;
        for (i, &got) in tensor.iter().enumerate() {
            let (window, channel, pixel) = (i / (3 * plane), i / plane % 3, i % plane);
            let byte = every_byte[(window * plane + pixel) * 3 + order[channel]];
            let expected = (f32::from(byte) / 255.0 - mean[channel]) / std[channel];
            assert!((got - expected).abs() <= 1e-6, "byte {byte}: {got}, expected {expected}");
        }
    }
}

/// Bytes times a number and less another, up to the ends of each type, or up to 2^24 - 1.
#[test]
fn integers_of_each_type_are_read_exactly() {
    if !runtime_is_there() {
        return;
    }
    const INT8: i32 = 3;
    let every_byte: Vec<u8> = (0..=255).collect();
    let windows = [WindowIndex(0)];
    let batch = BatchView {
        height: 1,
        width: 256,
        windows: &windows,
        pixels: &[&every_byte[..]; 3].concat(),
        stretch: None,
    };
    for (kind, times, less) in [
        (element::UINT8, 1, 0),
        (INT8, 1, 128),
        (4, 257, 0),
        (5, 257, 32_768),
        (element::INT32, 65_793, 16_777_215),
        (12, 65_793, 0),
        (element::INT64, 65_793, 16_777_215),
        (13, 65_793, 0),
    ] {
        let nodes = vec![
            Node::new("Cast", &["images"], "whole").with(Attribute::int("to", element::INT64.into())),
            Node::new("Mul", &["whole", "times"], "larger"),
            Node::new("Sub", &["larger", "less"], "moved"),
            Node::new("Cast", &["moved"], "numbers").with(Attribute::int("to", kind.into())),
        ];
        let image = vec![named("batch"), named("height"), named("width"), Dimension::fixed(3)];
        let numbers = ["batch", "rows", "columns", "channels"].map(named).to_vec();
        let graph = Graph {
            node: nodes,
            name: "test".to_owned(),
            initializer: vec![Tensor::ints("times", &[1], &[times]), Tensor::ints("less", &[1], &[less])],
            input: vec![ValueInfo::new("images", element::UINT8, image)],
            output: vec![ValueInfo::new("numbers", kind, numbers)],
        };
        let toml = ManifestFile::parse("head = 'labels'\n[[classes]]\nname = 'a'").unwrap();
        let model = Model::read(&encoded(graph, &[]), &toml, "test").unwrap();
        let (mut runner, _) = OrtRunner::open(&model, &Device::Cpu, &settings(1, 1)).unwrap();
        let outputs = runner.run(batch).unwrap();
        let expected = batch.pixels.iter().map(|&byte| (i64::from(byte) * times - less) as f32);
        let name = element::name(kind);
        assert!(outputs[0].floats().iter().copied().eq(expected), "{name}: {:?}", outputs[0].floats());
    }
}

#[test]
fn nan_fails_its_window_only() {
    if !runtime_is_there() {
        return;
    }
    let nodes = vec![
        Node::new("Reshape", &["images", "shape"], "rows"),
        // Finite for bright pixels, minus infinity for black ones.
        Node::new("Log", &["rows"], "output0"),
    ];
    let bytes = model(nodes, vec![Tensor::ints("shape", &[3], &[0, 6, -1])], element::FLOAT, named("b"), 6);
    let toml = "[[classes]]\nname = 'a'\n[[classes]]\nname = 'b'";
    let mut detector = OnnxDetector::from_bytes(
        "t",
        &bytes,
        toml,
        &Device::Cpu,
        &DetectSettings::default(),
        &settings(1, 1),
    )
    .unwrap();
    let pixels = [vec![0; SIDE * SIDE * 3], vec![255; SIDE * SIDE * 3]].concat();
    let windows = [WindowIndex(3), WindowIndex(4)];
    let results = detector
        .detect(BatchView { height: SIDE, width: SIDE, windows: &windows, pixels: &pixels, stretch: None })
        .unwrap();
    assert_eq!(results[0].outcome, Err(WindowFault::NotFinite { part: "boxes" }));
    assert_eq!(results[1].outcome, Ok(vec![]));
}

#[test]
fn wrong_windows_are_refused() {
    if !runtime_is_there() {
        return;
    }
    let bytes = pixel_head(element::FLOAT, named("batch"));
    let odd = SessionSettings { window: (30, 32), ..settings(1, 1) };
    let message = open(&bytes, &odd).err().unwrap().to_string();
    assert_eq!(message, "windows are 30 × 32 px, but the model takes multiples of 4 px");
    let mut detector = open(&bytes, &settings(1, 1)).unwrap();
    let windows = [WindowIndex(0)];
    let nothing = BatchView { height: 0, width: 0, windows: &[], pixels: &[], stretch: None };
    assert_eq!(detector.detect(nothing).unwrap(), []);
    let short = BatchView { height: SIDE, width: SIDE, windows: &windows, pixels: &[0; 7], stretch: None };
    assert!(matches!(detector.detect(short), Err(DetectorError::BatchSize { bytes: 7, .. })));
}

#[test]
fn a_device_that_is_not_there_is_an_error_with_a_fix() {
    if !runtime_is_there() || ort_has_cuda() {
        return;
    }
    let bytes = pixel_head(element::FLOAT, named("batch"));
    for device in ["cuda:1", "cuda:0,1", "cuda:all", "tensorrt", "openvino", "coreml"] {
        let device: Device = device.parse().unwrap();
        let opened =
            OnnxDetector::from_bytes("t", &bytes, "", &device, &DetectSettings::default(), &settings(1, 1));
        let Err(DetectorError::Device { device: named, reason, fix }) = opened else { panic!("{device}") };
        assert_eq!(named, device.to_string());
        assert!(!reason.is_empty() && fix.contains("--device cpu"), "{reason}; {fix}");
    }
    let auto =
        OnnxDetector::from_bytes("t", &bytes, "", &Device::Auto, &DetectSettings::default(), &settings(1, 1));
    assert_eq!(auto.unwrap().device_used(), "cpu");
}

#[test]
fn sessions_on_the_cpu_share_windows_and_answer_as_one() {
    if !runtime_is_there() {
        return;
    }
    let bytes = pixel_head(element::FLOAT, named("batch"));
    let windows: Vec<_> = (0..5).map(|i| painted(&[(i, 1, [8, 12, 200 + i as u8])])).collect();
    let (indices, pixels): (Vec<_>, _) = ((0..5).map(WindowIndex).collect(), windows.concat());
    let batch = BatchView { height: SIDE, width: SIDE, windows: &indices, pixels: &pixels, stretch: None };
    let mut opened = ["cpu", "cpu,cpu,cpu"].map(|device| {
        let (device, detect) = (device.parse().unwrap(), DetectSettings::default());
        OnnxDetector::from_bytes("t", &bytes, "", &device, &detect, &settings(2, 4)).unwrap()
    });
    assert_eq!(opened[1].device_used(), "cpu + cpu + cpu");
    assert_eq!(opened[1].notes(), [""; 0], "they give the same numbers");
    let [one, three] = opened.each_mut().map(|detector| detector.detect(batch).unwrap());
    assert!(one == three && one.iter().all(|result| !result.outcome.as_ref().unwrap().is_empty()));
    let [_, several] = opened;
    assert_eq!(Box::new(several).split().len(), 3);
}

fn part(number: f32) -> super::Part {
    let data = super::output::Data::Owned(vec![number]);
    let output = super::Output { name: "y".to_owned(), shape: vec![1], data };
    super::Part { windows: vec![WindowIndex(0)], outputs: vec![output] }
}

#[test]
fn answers_are_the_same_where_every_bit_is() {
    assert!(part(0.1) == part(0.1) && part(f32::NAN) == part(f32::NAN));
    assert!(part(0.1) != part(0.1_f32.next_up()) && part(0.0) != part(-0.0));
}

#[test]
fn the_end_of_the_cards_is_told_from_a_card_that_fails() {
    for (reason, is_end) in [
        ("Invalid device ID: 2, must be between 0 (inclusive) and 2 (exclusive).", true),
        ("CUDA failure 101: invalid device ordinal ; GPU=2 ; expr=cudaSetDevice(device_id)", true),
        ("CUDA failure 2: out of memory ; GPU=2 ; expr=cudaMalloc(&p, size)", false),
        ("this ONNX Runtime was built without it", false),
    ] {
        let (device, fix) = ("cuda:2".to_owned(), String::new());
        let error = DetectorError::Device { device, reason: reason.to_owned(), fix };
        assert_eq!(super::session::is_past_the_last(&error), is_end, "{reason}");
    }
}

/// The library writes to the user's cache while it is loaded: a session would ask too late.
#[test]
fn telemetry_is_off_before_the_library_is_loaded() {
    super::session::environment().unwrap();
    assert_eq!(std::env::var("ORT_DISABLE_TELEMETRY").as_deref(), Ok("1"));
}

/// `true` for a build of the runtime with more devices than the CPU: it refuses other things.
fn ort_has_cuda() -> bool {
    use ort::ep::{CUDA, ExecutionProvider, OpenVINO};
    super::session::environment().unwrap();
    let other = CUDA::is_available().unwrap_or(false) || OpenVINO::is_available().unwrap_or(false);
    if other {
        eprintln!("skipped: this ONNX Runtime has more devices than the CPU");
    }
    other
}

fn refused(bytes: &[u8]) -> DetectorError {
    open(bytes, &settings(1, 1)).err().unwrap()
}

fn changed(model: &proto::Model, change: fn(&mut Graph)) -> Vec<u8> {
    let mut model = model.clone();
    change(model.graph.as_mut().unwrap());
    model.encode_to_vec()
}

#[test]
fn models_that_cannot_be_loaded_say_why() {
    assert!(matches!(refused(b""), DetectorError::NotOnnx { .. }));
    assert!(matches!(refused(b"\x89PNG\r\n\x1a\n not a model"), DetectorError::NotOnnx { .. }));
    let good = pixel_head(element::FLOAT, named("batch"));
    assert!(matches!(refused(&good[..good.len() / 2]), DetectorError::NotOnnx { .. }));

    let decoded = proto::Model::decode(&good[..]).unwrap();
    let custom = changed(&decoded, |graph| graph.node[1].domain = "mmdeploy".to_owned());
    let DetectorError::CustomOperator { operator, domain } = refused(&custom) else { panic!("custom") };
    assert_eq!((operator.as_str(), domain.as_str()), ("Reshape", "mmdeploy"));
    let external = changed(&decoded, |graph| {
        graph.initializer[0].data_location = 1;
        let value = "model.onnx.data".to_owned();
        graph.initializer[0].external_data = vec![Entry { key: "location".to_owned(), value }];
    });
    assert!(
        matches!(refused(&external), DetectorError::ExternalData { files } if files == "model.onnx.data")
    );
    if runtime_is_there() {
        let unknown = changed(&decoded, |graph| graph.node[1].op_type = "NoSuchOperator".to_owned());
        let message = refused(&unknown).to_string();
        assert!(message.contains("cannot load the model") && message.contains("NoSuchOperator"), "{message}");
    }
}

#[test]
fn a_toml_beside_the_model_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nuclei é.onnx");
    std::fs::write(&path, pixel_head(element::FLOAT, named("batch"))).unwrap();
    std::fs::write(path.with_extension("toml"), "mpp = 0.5\n[[classes]]\nname = 'nucleus'\nconf = 0.1")
        .unwrap();
    let report = crate::describe(&path).unwrap();
    assert_eq!(report.manifest.classes[0].name, "nucleus");
    assert_eq!(report.manifest.name, "nuclei é");
    assert_eq!(DetectSettings::of(&report.manifest).score_floor, 0.1);
    assert!(report.to_string().contains("0.5 µm/px"));

    std::fs::write(path.with_extension("toml"), "mmp = 0.5").unwrap();
    let message = crate::describe(&path).unwrap_err().to_string();
    assert_eq!(
        message,
        format!("mmp: unknown key, nearest known: mpp: {}", path.with_extension("toml").display())
    );
    let absent = crate::describe(&folder.path().join("absent.onnx")).unwrap_err().to_string();
    assert!(absent.starts_with("cannot read the model: "), "{absent}");
}

/// A decoded head that answers its window as one box, with the window's mean as its score.
fn whole_window_head() -> Vec<u8> {
    let nodes = vec![
        Node::new("Cast", &["orig_target_sizes"], "sides").with(Attribute::int("to", element::FLOAT.into())),
        Node::new("Concat", &["sides", "sides"], "twice").with(Attribute::int("axis", 1)),
        Node::new("Mul", &["twice", "corner"], "flat"),
        Node::new("Reshape", &["flat", "one_box"], "boxes"),
        Node::new("ReduceMean", &["images"], "mean").with(Attribute::ints("axes", &[1, 2, 3])),
        Node::new("Reshape", &["mean", "one_score"], "scores"),
        Node::new("Mul", &["scores", "nothing"], "zeros"),
        Node::new("Cast", &["zeros"], "labels").with(Attribute::int("to", element::INT64.into())),
    ];
    let initializer = vec![
        Tensor::floats("corner", &[4], &[0.0, 0.0, 1.0, 1.0]),
        Tensor::floats("nothing", &[], &[0.0]),
        Tensor::ints("one_box", &[3], &[-1, 1, 4]),
        Tensor::ints("one_score", &[2], &[-1, 1]),
    ];
    let dims = |sides: &[i64]| sides.iter().map(|&side| Dimension::fixed(side)).collect::<Vec<_>>();
    let image = vec![Dimension::fixed(2), Dimension::fixed(3), named("height"), named("width")];
    let graph = Graph {
        node: nodes,
        name: "test".to_owned(),
        initializer,
        input: vec![
            ValueInfo::new("images", element::FLOAT, image),
            ValueInfo::new("orig_target_sizes", element::INT64, dims(&[2, 2])),
        ],
        output: vec![
            ValueInfo::new("labels", element::INT64, dims(&[2, 1])),
            ValueInfo::new("boxes", element::FLOAT, dims(&[2, 1, 4])),
            ValueInfo::new("scores", element::FLOAT, dims(&[2, 1])),
        ],
    };
    encoded(graph, &[("names", "{0: 'cell'}"), ("stride", "4")])
}

#[test]
fn a_second_input_takes_width_and_height_of_each_window() {
    if !runtime_is_there() {
        return;
    }
    let session = SessionSettings { window: (40, 24), ..settings(1, 2) };
    let toml = "[input]\nmean = [0, 0, 0]";
    let model = whole_window_head();
    let mut detector =
        OnnxDetector::from_bytes("test", &model, toml, &Device::Cpu, &DetectSettings::default(), &session)
            .unwrap();
    let pixels = [[255; 40 * 24 * 3], [51; 40 * 24 * 3]].concat();
    let windows = [WindowIndex(0), WindowIndex(1)];
    let batch = BatchView { height: 24, width: 40, windows: &windows, pixels: &pixels, stretch: None };
    let results = detector.detect(batch).unwrap();
    let found: Vec<_> = results.iter().map(|result| boxes(result.outcome.as_ref().unwrap())).collect();
    assert_eq!(found, [vec![([0.0, 0.0, 40.0, 24.0], 255.0)], vec![]]);
    assert!(results[0].is_full && !results[1].is_full);
}
