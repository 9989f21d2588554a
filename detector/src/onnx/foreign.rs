//! Files that are often given as ONNX models and are not, recognised by their first bytes.

/// Kind of a file that is not an ONNX model, and advice; `None` for an unknown kind.
pub(crate) fn named(bytes: &[u8]) -> Option<&'static str> {
    const EXPORT: &str = "it holds PyTorch weights, not a graph; export it: `yolo export model=best.pt format=onnx` \
                          for Ultralytics, `torch.onnx.export` for others";
    let starts_with = |magic: &[u8]| bytes.starts_with(magic);
    let has_at = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if starts_with(b"version https://git-lfs") {
        Some(
            "it is a Git LFS pointer, a note where the model lies; fetch the model itself with `git lfs pull`",
        )
    } else if starts_with(b"PK\x03\x04") {
        Some(if holds(bytes, b"data.pkl") { EXPORT } else { "it is a ZIP archive; unpack the model first" })
    } else if starts_with(&[0x80]) && bytes.get(1).is_some_and(|version| (2..=5).contains(version)) {
        Some(EXPORT)
    } else if starts_with(b"\x89HDF\r\n\x1a\n") {
        Some("it is an HDF5 file, as Keras writes; export it with tf2onnx: `python -m tf2onnx.convert`")
    } else if has_at(4, b"TFL3") {
        Some("it is a TensorFlow Lite model; convert it: `python -m tf2onnx.convert --tflite model.tflite`")
    } else if has_at(4, b"ORTM") {
        Some("it is in ONNX Runtime's own format (.ort); give the .onnx file that it was made from")
    } else if has_at(8, b"{\"") {
        Some(
            "it holds safetensors weights, not a graph; export the model to ONNX with the library that trained it",
        )
    } else if starts_with(b"\x1f\x8b") {
        Some("it is compressed with gzip; unpack it first")
    } else if starts_with(b"ftrt") || starts_with(b"ptrt") {
        Some("it is a TensorRT engine, made for one GPU; give the .onnx file that it was made from")
    } else if is_page(bytes) {
        Some("it is a web page, as a link that asks for a login gives; download the model itself")
    } else {
        None
    }
}

/// `true` if `wanted` stands near the start, where an archive names its first member.
fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    const NEAR: usize = 4096;
    bytes[..bytes.len().min(NEAR)].windows(wanted.len()).any(|found| found == wanted)
}

/// `true` for HTML and XML; OpenVINO, too, describes its models in XML.
fn is_page(bytes: &[u8]) -> bool {
    let start = bytes[..bytes.len().min(64)].trim_ascii_start().to_ascii_lowercase();
    start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_model_are_named() {
        let says = |bytes: &[u8], word: &str| {
            let name = named(bytes).unwrap();
            assert!(name.contains(word), "{name}");
        };
        says(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "git lfs pull");
        says(b"PK\x03\x04\x14\0\0\0\0\0\xab\x08best/data.pkl\x80\x02", "yolo export");
        says(b"PK\x03\x04\x14\0\0\0\0\0config.json", "ZIP");
        says(b"\x80\x02\x8a\nl\xfc\x9cF", "yolo export");
        says(b"\x89HDF\r\n\x1a\n\0", "Keras");
        says(b"\x1c\0\0\0TFL3\x14", "TensorFlow Lite");
        says(b"\x18\x01\0\0\0\0\0\0{\"a\":{}}", "safetensors");
        says(b"\n<!DOCTYPE HTML><html>", "web page");
        // The start of an ONNX model: ir_version 8, producer.
        assert_eq!(named(b"\x08\x08\x12\x07pytorch\x1a"), None);
        assert_eq!(named(b""), None);
    }
}
