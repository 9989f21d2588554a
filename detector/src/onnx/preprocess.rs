//! Bytes become the tensor the model asked for, inside the graph.
//!
//! Windows cross to the device as u8, a quarter of the bytes of f32. The model's image input is replaced
//! by one of `[n, h, w, 3]` u8, and these nodes go in front, each only where the model needs it:
//!
//! ```text
//! u8 [n,h,w,3] → Gather (BGR) → Transpose → Cast f32 → Div 1/scale → Sub mean → Div std → Cast f16 → input
//! ```
//!
//! A model that wants percentiles of the slide gets two more inputs, which come with each batch:
//!
//! ```text
//! u8 [n,h,w,3] → Gather (BGR) → Transpose → Cast f32 → Sub low → Div span → Cast f16 → input
//! ```
//!
//! If the model wants the size of each window too, it is taken from the shape of the same tensor.
//!
//! The scale is a division by 255, not a multiplication by its rounded inverse: it is what trainers do, so
//! the values are theirs to the last bit.

use prost::Message;
use wsi_types::Stretch;

use super::{
    proto::{Attribute, Dimension, DimensionValue, Graph, Node, Tensor, ValueInfo, element, field},
    wire::{self, WireError},
};
use crate::manifest::{ColourOrder, Dim, Element, ImageInput, Layout, Normalisation, SizesInput};

/// The name of the u8 input, unless the model has that name already.
const INPUT: &str = "slidemill_rgb";

/// Puts the nodes in front of `model`, whose decoded graph is `graph`. Returns the new model and the name
/// of its input, `[n, h, w, 3]` u8, red first.
///
/// # Errors
///
/// When the bytes are not a protobuf message of one graph.
pub(crate) fn prepend(
    model: &[u8],
    graph: &Graph,
    input: &ImageInput,
    normalisation: &Normalisation,
) -> Result<(Vec<u8>, String), WireError> {
    let name = free_name(graph);
    let front = Front::new(&name, input, normalisation);
    if front.nodes.is_empty() {
        return Ok((model.to_vec(), input.name.clone()));
    }
    Ok((splice(model, &front)?, name))
}

/// [`INPUT`], with as many underscores as it takes to be free.
fn free_name(graph: &Graph) -> String {
    let mut name = INPUT.to_owned();
    // Every name we add starts with this one.
    let nodes = graph.node.iter().flat_map(|node| &node.output);
    let initializers = graph.initializer.iter().map(|tensor| &tensor.name);
    let inputs = graph.input.iter().map(|value| &value.name);
    let taken = nodes.chain(initializers).chain(inputs);
    while taken.clone().any(|other| other.starts_with(&name)) {
        name.push('_');
    }
    name
}

/// Inputs of a prepended model that take the ends between which pixels are stretched.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StretchInputs {
    /// Of the value that becomes 0, and of the distance from there to the one that becomes 1.
    pub low: String,
    pub span: String,
    /// Of both.
    pub shape: [usize; 4],
    colour_order: ColourOrder,
    epsilon: f64,
}

impl StretchInputs {
    /// Those of a model whose pixels have the input `name`; `None` for a model that wants no percentiles.
    pub(crate) fn of(name: &str, input: &ImageInput, normalisation: &Normalisation) -> Option<Self> {
        normalisation.percentiles.map(|percentiles| Self {
            low: format!("{name}/low"),
            span: format!("{name}/span"),
            shape: channel_shape(input.layout).map(|side| side as usize),
            colour_order: normalisation.colour_order,
            epsilon: percentiles.epsilon,
        })
    }

    /// What they are filled with: low ends and distances, in the model's order of channels.
    pub(crate) fn filled(&self, stretch: &Stretch) -> [[f32; 3]; 2] {
        let span =
            [0, 1, 2].map(|c| (f64::from(stretch.high[c]) - f64::from(stretch.low[c]) + self.epsilon) as f32);
        [stretch.low, span].map(|[red, green, blue]| match self.colour_order {
            ColourOrder::Rgb => [red, green, blue],
            ColourOrder::Bgr => [blue, green, red],
        })
    }

    fn values(&self) -> [ValueInfo; 2] {
        let dims = self.shape.map(|side| Dimension::fixed(side as i64)).to_vec();
        [&self.low, &self.span].map(|name| ValueInfo::new(name, element::FLOAT, dims.clone()))
    }
}

/// The shape of three numbers that are one for each channel of a picture.
fn channel_shape(layout: Layout) -> [i64; 4] {
    match layout {
        Layout::Nchw => [1, 3, 1, 1],
        Layout::Nhwc => [1, 1, 1, 3],
    }
}

/// Nodes that go in front of the graph, with the inputs they read.
struct Front {
    /// The picture first.
    inputs: Vec<ValueInfo>,
    /// Names of the inputs that it replaces, the picture first.
    replaced: Vec<String>,
    nodes: Vec<Node>,
    initializers: Vec<Tensor>,
}

impl Front {
    fn new(name: &str, input: &ImageInput, normalisation: &Normalisation) -> Self {
        let mut chain = Chain::new(name);
        let stretch = StretchInputs::of(name, input, normalisation);
        if normalisation.colour_order == ColourOrder::Bgr {
            let order = chain.constant(Tensor::ints(&chain.next_name("order"), &[3], &[2, 1, 0]));
            chain.push("Gather", &[&order], Some(Attribute::int("axis", 3)));
        }
        if input.layout == Layout::Nchw {
            chain.push("Transpose", &[], Some(Attribute::ints("perm", &[0, 3, 1, 2])));
        }
        if input.element != Element::U8 {
            chain.push("Cast", &[], Some(Attribute::int("to", element::FLOAT.into())));
            match &stretch {
                Some(StretchInputs { low, span, .. }) => {
                    chain.push("Sub", &[low], None);
                    chain.push("Div", &[span], None);
                }
                None => chain.normalise(input.layout, normalisation),
            }
        }
        if input.element == Element::F16 {
            chain.push("Cast", &[], Some(Attribute::int("to", element::FLOAT16.into())));
        }
        if chain.nodes.is_empty() && input.sizes.is_some() {
            chain.push("Identity", &[], None);
        }
        chain.end_at(&input.name);
        let mut replaced = vec![input.name.clone()];
        if let Some(sizes) = &input.sizes {
            chain.give_sizes(sizes);
            replaced.push(sizes.name.clone());
        }
        let dims = vec![
            dimension(&input.batch),
            dimension(&input.height),
            dimension(&input.width),
            Dimension::fixed(3),
        ];
        let pixels = ValueInfo::new(name, element::UINT8, dims);
        Self {
            inputs: std::iter::once(pixels).chain(stretch.iter().flat_map(StretchInputs::values)).collect(),
            replaced,
            nodes: chain.nodes,
            initializers: chain.initializers,
        }
    }
}

impl Front {
    /// Place of a field of the graph among the inputs that are replaced; `None` for other fields.
    fn place_of(&self, number: u32, payload: &[u8]) -> Option<usize> {
        if number != field::GRAPH_INPUT {
            return None;
        }
        let value = ValueInfo::decode(payload).ok()?;
        self.replaced.iter().position(|name| *name == value.name)
    }
}

fn dimension(dim: &Dim) -> Dimension {
    let value = match dim {
        Dim::Fixed(size) => Some(DimensionValue::Fixed(i64::try_from(*size).unwrap_or(i64::MAX))),
        Dim::Named(name) => Some(DimensionValue::Named(name.clone())),
        Dim::Unknown => None,
    };
    Dimension { value }
}

/// Nodes one after the other, each fed by the one before.
struct Chain {
    first: String,
    nodes: Vec<Node>,
    initializers: Vec<Tensor>,
}

impl Chain {
    fn new(first: &str) -> Self {
        Self { first: first.to_owned(), nodes: Vec::new(), initializers: Vec::new() }
    }

    fn next_name(&self, what: &str) -> String {
        format!("{}/{}/{what}", self.first, self.nodes.len())
    }

    fn constant(&mut self, tensor: Tensor) -> String {
        let name = tensor.name.clone();
        self.initializers.push(tensor);
        name
    }

    fn push(&mut self, op_type: &str, more_inputs: &[&str], attribute: Option<Attribute>) {
        let last = self.nodes.last().map_or(self.first.as_str(), |node| node.output[0].as_str());
        let inputs: Vec<&str> = std::iter::once(last).chain(more_inputs.iter().copied()).collect();
        let node = Node::new(op_type, &inputs, &self.next_name("out"));
        self.nodes.push(attribute.into_iter().fold(node, Node::with));
    }

    /// `(x / (1 / scale) - mean) / std`, leaving out what changes nothing.
    fn normalise(&mut self, layout: Layout, normalisation: &Normalisation) {
        // 1 / (1 / 255) rounds to exactly 255.
        let divisor = (1.0 / normalisation.scale) as f32;
        let channels = channel_shape(layout);
        for (op_type, values, nothing) in
            [("Div", [divisor; 3], 1.0), ("Sub", normalisation.mean, 0.0), ("Div", normalisation.std, 1.0)]
        {
            if values != [nothing; 3] {
                let tensor = if values == [values[0]; 3] {
                    Tensor::floats(&self.next_name("value"), &[], &values[..1])
                } else {
                    Tensor::floats(&self.next_name("value"), &channels, &values)
                };
                let name = self.constant(tensor);
                self.push(op_type, &[&name], None);
            }
        }
    }

    /// Width and height of each window from the shape of the first tensor, `[n, h, w, 3]`, as `[n, 2]`.
    fn give_sizes(&mut self, sizes: &SizesInput) {
        let names = ["shape", "sides", "count", "like", "whole"].map(|name| format!("{}/{name}", self.first));
        let [shape, sides, count, like, whole] = names.each_ref().map(String::as_str);
        let [at_sides, at_count, two] = [("at_sides", &[2, 1][..]), ("at_count", &[0]), ("two", &[2])]
            .map(|(name, values)| (format!("{}/{name}", self.first), values))
            .map(|(name, values)| self.constant(Tensor::ints(&name, &[values.len() as i64], values)));
        self.nodes.extend([
            Node::new("Shape", &[self.first.as_str()], shape),
            Node::new("Gather", &[shape, at_sides.as_str()], sides),
            Node::new("Gather", &[shape, at_count.as_str()], count),
            Node::new("Concat", &[count, two.as_str()], like).with(Attribute::int("axis", 0)),
            Node::new("Expand", &[sides, like], whole),
            Node::new("Cast", &[whole], &sizes.name).with(Attribute::int("to", sizes.elem_type.into())),
        ]);
    }

    /// The last node feeds what the model calls its input.
    fn end_at(&mut self, name: &str) {
        if let Some(last) = self.nodes.last_mut() {
            last.output = vec![name.to_owned()];
        }
    }
}

/// Copies `model`, with `front` before the nodes of its graph and in place of its inputs.
fn splice(model: &[u8], front: &Front) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(model.len() + 4096);
    let mut graphs = 0;
    for part in wire::fields(model)? {
        if part.number == field::MODEL_GRAPH {
            graphs += 1;
            let graph = splice_graph(&model[part.payload], front)?;
            wire::push_message(&mut out, field::MODEL_GRAPH, &graph);
        } else {
            out.extend_from_slice(&model[part.whole]);
        }
    }
    match graphs {
        1 => Ok(out),
        _ => Err(WireError { at: 0, reason: "expected exactly one graph" }),
    }
}

fn splice_graph(graph: &[u8], front: &Front) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(graph.len() + 4096);
    // ONNX wants nodes sorted: a node's inputs come before it.
    for node in &front.nodes {
        wire::push_message(&mut out, field::GRAPH_NODE, &node.encode_to_vec());
    }
    for tensor in &front.initializers {
        wire::push_message(&mut out, field::GRAPH_INITIALIZER, &tensor.encode_to_vec());
    }
    for part in wire::fields(graph)? {
        match front.place_of(part.number, &graph[part.payload.clone()]) {
            Some(0) => front
                .inputs
                .iter()
                .for_each(|input| wire::push_message(&mut out, field::GRAPH_INPUT, &input.encode_to_vec())),
            Some(_) => {}
            None => out.extend_from_slice(&graph[part.whole]),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::Model;

    fn input(layout: Layout, element: Element) -> ImageInput {
        ImageInput {
            name: "images".to_owned(),
            layout,
            element,
            batch: Dim::Named("batch".to_owned()),
            height: Dim::Fixed(64),
            width: Dim::Unknown,
            sizes: None,
        }
    }

    fn model() -> Vec<u8> {
        let graph = Graph {
            node: vec![Node::new("Relu", &["images"], "output0")],
            input: vec![ValueInfo::new("images", element::FLOAT, vec![])],
            output: vec![ValueInfo::new("output0", element::FLOAT, vec![])],
            ..Graph::default()
        };
        let mut bytes = Model { ir_version: 8, graph: Some(graph), ..Model::default() }.encode_to_vec();
        // A field no ONNX version has, after the graph.
        wire::push_message(&mut bytes, 900, b"kept");
        bytes
    }

    fn prepended(input: &ImageInput, normalisation: &Normalisation) -> (Model, String, Vec<u8>) {
        let before = model();
        let graph = Model::decode(&before[..]).unwrap().graph.unwrap();
        let (after, name) = prepend(&before, &graph, input, normalisation).unwrap();
        (Model::decode(&after[..]).unwrap(), name, after)
    }

    #[test]
    fn nodes_come_first_and_everything_else_is_kept() {
        let (model, name, bytes) = prepended(&input(Layout::Nchw, Element::F32), &Normalisation::default());
        let graph = model.graph.unwrap();
        let types: Vec<_> = graph.node.iter().map(|node| node.op_type.as_str()).collect();
        assert_eq!(types, ["Transpose", "Cast", "Div", "Relu"]);
        assert_eq!(graph.node[2].output, ["images"]);
        assert_eq!(graph.initializer[0].raw_data, 255f32.to_le_bytes());
        assert_eq!((graph.input.len(), &graph.input[0].name), (1, &name));
        assert!(bytes.ends_with(b"kept"));
    }

    fn types(input: ImageInput, normalisation: &Normalisation) -> Vec<String> {
        let graph = prepended(&input, normalisation).0.graph.unwrap();
        graph.node.iter().map(|node| node.op_type.clone()).collect()
    }

    #[test]
    fn each_node_is_there_only_where_needed() {
        let imagenet = Normalisation {
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            colour_order: ColourOrder::Bgr,
            ..Normalisation::default()
        };
        assert_eq!(
            types(input(Layout::Nchw, Element::F16), &imagenet),
            ["Gather", "Transpose", "Cast", "Div", "Sub", "Div", "Cast", "Relu"]
        );
        assert_eq!(types(input(Layout::Nchw, Element::U8), &Normalisation::default()), ["Transpose", "Relu"]);
        assert_eq!(types(input(Layout::Nhwc, Element::U8), &Normalisation::default()), ["Relu"]);
    }

    #[test]
    fn ends_of_a_stretch_come_with_each_batch() {
        let channels = wsi_types::StretchedChannels::Each;
        let percentiles = wsi_types::Percentiles { low: 1.0, high: 99.0, channels, epsilon: 0.5 };
        let normalisation = Normalisation {
            percentiles: Some(percentiles),
            colour_order: ColourOrder::Bgr,
            ..Normalisation::default()
        };
        let nhwc = input(Layout::Nhwc, Element::F16);
        assert_eq!(types(nhwc.clone(), &normalisation), ["Gather", "Cast", "Sub", "Div", "Cast", "Relu"]);
        let (model, name, _) = prepended(&nhwc, &normalisation);
        let inputs: Vec<_> = model.graph.unwrap().input.into_iter().map(|input| input.name).collect();
        assert_eq!(inputs, [name.clone(), format!("{name}/low"), format!("{name}/span")]);
        let stretch = StretchInputs::of(&name, &nhwc, &normalisation).unwrap();
        let filled = stretch.filled(&Stretch { low: [1.0, 2.0, 3.0], high: [11.0, 22.0, 33.0] });
        assert_eq!((stretch.shape, filled), ([1, 1, 1, 3], [[3.0, 2.0, 1.0], [30.5, 20.5, 10.5]]));
    }

    #[test]
    fn the_size_of_windows_comes_from_the_shape() {
        let sizes = SizesInput { name: "orig_target_sizes".to_owned(), elem_type: element::INT64 };
        let wants_sizes = ImageInput { sizes: Some(sizes), ..input(Layout::Nhwc, Element::U8) };
        assert_eq!(
            types(wants_sizes, &Normalisation::default()),
            ["Identity", "Shape", "Gather", "Gather", "Concat", "Expand", "Cast", "Relu"]
        );
    }

    #[test]
    fn a_taken_name_is_not_taken_again() {
        let graph =
            Graph { node: vec![Node::new("Relu", &["x"], "slidemill_rgb/0/out")], ..Graph::default() };
        assert_eq!(free_name(&graph), "slidemill_rgb_");
    }
}
