//! Number types of outputs: those that are read without loss, and for which heads.

use super::{Dim, Head};
use crate::{
    DetectorError,
    onnx::proto::{Graph, element},
};

/// Refuses outputs of a number type that is not read, or whose numbers would mean something else than the head takes
/// them for. A graph need not say the types of its outputs; those are looked at when it has run.
///
/// # Errors
///
/// [`DetectorError::Manifest`] with the first such output.
pub(super) fn check(graph: &Graph, read: &[(String, Vec<Dim>)], head: Head) -> Result<(), DetectorError> {
    let read = graph.output.iter().filter(|value| read.iter().any(|(name, _)| *name == value.name));
    let mut kinds = read.filter_map(|value| Some((&value.name, value.tensor()?.elem_type)));
    kinds.try_for_each(|(name, kind)| check_output(name, kind, head))
}

fn check_output(name: &str, kind: i32, head: Head) -> Result<(), DetectorError> {
    let refused = |reason: String| Err(DetectorError::manifest(format!("output {name}"), reason));
    let found = element::name(kind);
    match kind {
        element::UNSAID => Ok(()),
        _ if !element::is_read(kind) => refused(format!(
            "has numbers of type {found}, expected {}: put a Cast at the end of the export, to float for scores and \
             to int32 for numbers of classes or objects",
            element::READ
        )),
        _ if element::is_narrow(kind) && !counts(head) => refused(format!(
            "has numbers of type {found}, but this head answers measures and scores: they would be quantised, and \
             nothing says their scale; export it with DequantizeLinear, or a Cast to float, at the end"
        )),
        _ => Ok(()),
    }
}

/// `true` if whole numbers of few bits can be what the head answers: numbers of classes or of objects.
fn counts(head: Head) -> bool {
    matches!(head, Head::Labels | Head::Semantic { scores: None } | Head::DetrFinal { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{manifest::Activation, onnx::proto::ValueInfo};

    fn checked(kind: i32, head: Head) -> Result<(), String> {
        let graph = Graph { output: vec![ValueInfo::new("y", kind, vec![])], ..Graph::default() };
        check(&graph, &[("y".to_owned(), vec![])], head).map_err(|e| e.to_string())
    }

    #[test]
    fn whole_numbers_of_any_width_count_classes_and_objects() {
        for kind in [2, 3, 4, 5, 6, 7, 12, 13, element::FLOAT, element::FLOAT16, element::UNSAID] {
            assert_eq!(checked(kind, Head::Labels), Ok(()));
            assert_eq!(checked(kind, Head::Semantic { scores: None }), Ok(()));
        }
    }

    #[test]
    fn quantised_scores_are_refused() {
        for head in [Head::Semantic { scores: Some(Activation::Softmax) }, Head::Detect] {
            let refused = checked(element::UINT8, head).unwrap_err();
            assert!(refused.starts_with("output y: has numbers of type uint8, but this head"), "{refused}");
            assert_eq!(checked(element::INT64, head), Ok(()));
        }
    }

    #[test]
    fn other_types_are_refused_by_name() {
        for (kind, name) in
            [(9, "bool"), (11, "double"), (16, "bfloat16"), (14, "complex64"), (99, "number 99")]
        {
            let refused = checked(kind, Head::Labels).unwrap_err();
            assert!(refused.contains(&format!("has numbers of type {name}, expected float")), "{refused}");
        }
    }

    #[test]
    fn outputs_that_are_not_read_may_be_of_any_type() {
        let graph = Graph { output: vec![ValueInfo::new("debug", 11, vec![])], ..Graph::default() };
        assert!(check(&graph, &[("y".to_owned(), vec![])], Head::Labels).is_ok());
    }
}
