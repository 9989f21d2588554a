//! CVAT for images 1.1 (XML), on pictures whose names tell where they lie.

use std::path::Path;

use eval::{
    objects::{Object, ObjectSet, Role, Shape},
    polygon::Polygon,
};
use roxmltree::{Document, Node};
use wsi_types::{Level0Point, wording::counted};

use super::names::image_name;
use crate::{
    error::{Result, malformed, unreadable},
    picture::Picture,
};

const WHAT: &str = "the CVAT annotations";

/// All objects; `None` where the file is no XML of CVAT. `head` are its first bytes.
pub(super) fn read(path: &Path, head: &[u8]) -> Result<Option<ObjectSet>> {
    if head.trim_ascii_start().first() != Some(&b'<') {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(unreadable(WHAT, path))?;
    let document = Document::parse(&text).map_err(|error| malformed(WHAT, error.to_string(), path))?;
    if !document.root_element().has_tag_name("annotations") {
        return Ok(None);
    }
    let mut set = ObjectSet::default();
    set.image_named(&image_name(path));
    for image in document.root_element().children().filter(|node| node.has_tag_name("image")) {
        add(&mut set, image, path)?;
    }
    Ok(Some(set))
}

fn add(set: &mut ObjectSet, node: Node<'_, '_>, path: &Path) -> Result<()> {
    let name = node.attribute("name").unwrap_or_default();
    let shapes = shapes(node, name)
        .map_err(|problem| malformed(WHAT, format!("picture {name:?}: {problem}"), path))?;
    let image = set.image_named(&image_name(path));
    for (object, shape) in shapes {
        let class = set.class_named(object.attribute("label").unwrap_or(eval::truth::UNNAMED_CLASS))?;
        let id = set.objects.len() as u64;
        set.objects.push(Object { id, image, class, score: score(object), shape, role: Role::Object });
    }
    Ok(())
}

/// Objects with a place on the picture called `name`; tags have none.
fn shapes<'a, 'input>(
    node: Node<'a, 'input>,
    name: &str,
) -> std::result::Result<Vec<(Node<'a, 'input>, Shape)>, String> {
    let picture = Picture::from_name(name)
        .ok_or("its name does not tell where it lies, expected <slide>_<left>_<top>_<width>_<height>.png")?;
    let objects = node.children().filter(|object| object.is_element() && !object.has_tag_name("tag"));
    objects.map(|object| Ok((object, shape(object, &picture)?))).collect()
}

fn shape(object: Node<'_, '_>, picture: &Picture) -> std::result::Result<Shape, String> {
    match object.tag_name().name() {
        "polygon" => {
            let ring = corners(object, picture)?;
            if ring.len() < 3 {
                return Err(format!("a polygon has {}, expected 3 or more", counted(ring.len(), "point")));
            }
            Ok(Shape::Polygon(Box::new(Polygon::from_ring(ring))))
        }
        "points" => match corners(object, picture)?.as_slice() {
            [one] => Ok(Shape::Point(*one)),
            many => Err(format!("an object has {}, expected one or a polygon", counted(many.len(), "point"))),
        },
        "box" => {
            let [left, top, right, bottom] =
                [side(object, "xtl")?, side(object, "ytl")?, side(object, "xbr")?, side(object, "ybr")?];
            let corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
            let ring = corners.iter().map(|&[x, y]| picture.corner() + euclid::vec2(x, y)).collect();
            Ok(Shape::Polygon(Box::new(Polygon::from_ring(ring))))
        }
        other => Err(format!("an object is a {other}, expected polygon, points or box")),
    }
}

/// A side of a box, px of the picture.
fn side(object: Node<'_, '_>, name: &str) -> std::result::Result<f64, String> {
    number(object.attribute(name).unwrap_or_default())
}

/// `x,y;x,y`, in px of the picture.
fn corners(object: Node<'_, '_>, picture: &Picture) -> std::result::Result<Vec<Level0Point>, String> {
    let points = object.attribute("points").unwrap_or_default();
    points.split(';').map(|pair| corner(pair).map(|corner| picture.corner() + corner)).collect()
}

fn corner(pair: &str) -> std::result::Result<euclid::Vector2D<f64, wsi_types::Level0Px>, String> {
    let (x, y) = pair.split_once(',').ok_or_else(|| format!("{pair:?} is no point, expected x,y"))?;
    Ok(euclid::vec2(number(x)?, number(y)?))
}

fn number(text: &str) -> std::result::Result<f64, String> {
    let value = text.trim().parse().ok().filter(|value: &f64| value.is_finite());
    value.ok_or_else(|| format!("{text:?} is no number"))
}

fn score(object: Node<'_, '_>) -> Option<f32> {
    let named =
        |node: &Node<'_, '_>| node.has_tag_name("attribute") && node.attribute("name") == Some("score");
    let text = object.children().find(named)?.text()?;
    text.trim().parse().ok().filter(|score: &f32| !score.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Option<ObjectSet>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("annotations.xml");
        std::fs::write(&path, text).unwrap();
        read(&path, text.as_bytes())
    }

    fn of(objects: &str) -> String {
        format!(
            r#"<?xml version="1.0"?><annotations><version>1.1</version><image id="0" name="s_1000_2000_64_64.png">{objects}</image></annotations>"#
        )
    }

    #[test]
    fn shapes_lie_where_the_name_of_their_picture_says() {
        let text = of(
            r#"<polygon label="tumour" points="1,1;5,1;5,5;1,5"><attribute name="score">0.5</attribute></polygon>
            <box label="a &amp; b" xtl="0" ytl="0" xbr="2" ybr="4"/><points label="a &amp; b" points="3.5,4"/><tag label="x"/>"#,
        );
        let set = read_text(&text).unwrap().unwrap();
        let areas: Vec<f64> = set.objects.iter().map(|object| object.shape.area()).collect();
        assert_eq!((areas, set.objects[0].score), (vec![16.0, 8.0, 0.0], Some(0.5)));
        assert_eq!(set.objects[0].shape.centroid(), Level0Point::new(1003.0, 2003.0));
        assert_eq!(set.class_name(set.objects[2].class), "a & b");
    }

    #[test]
    fn what_cannot_be_placed_is_refused_and_other_xml_left() {
        let refused = |text: &str| read_text(text).unwrap_err().to_string();
        assert!(refused(&of(r#"<mask label="a" rle="1"/>"#)).contains("is a mask, expected"));
        assert!(refused(&of(r#"<polygon label="a" points="1,1;2;3,3"/>"#)).contains("\"2\" is no point"));
        assert!(
            refused(r#"<annotations><image name="a.png"/></annotations>"#).contains("does not tell where")
        );
        assert!(read_text("<svg/>").unwrap().is_none());
    }
}
