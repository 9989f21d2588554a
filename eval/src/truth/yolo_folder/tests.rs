use std::fs;

use wsi_types::ClassId;

use super::*;
use crate::objects::Detail;

/// The header of a PNG of `width` × `height` px, without pixels.
fn png(width: u32, height: u32) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", &width.to_be_bytes()[..], &height.to_be_bytes()[..]].concat()
}

/// Files by their paths below a new folder.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn read(path: &Path) -> Result<ObjectSet> {
    let settings = ReadSettings { detail: Detail::Boxes, ..ReadSettings::default() };
    crate::truth::read(path, &settings).map(|reading| reading.set)
}

/// Class and sides of each object, sorted.
fn boxes(set: &ObjectSet) -> Vec<(u16, [f64; 4])> {
    let sides = set.objects.iter().map(|object| {
        let b = object.shape.bounds();
        (object.class.0, [b.min.x, b.min.y, b.max.x, b.max.y].map(|side| (side * 1000.0).round() / 1000.0))
    });
    let mut boxes: Vec<_> = sides.collect();
    boxes.sort_by(|a, b| a.partial_cmp(b).unwrap());
    boxes
}

#[test]
fn every_picture_is_an_image_also_those_without_labels() {
    let pictures = png(200, 100);
    let set = folder(&[
        ("data.yaml", b"train: images/train\nnames: ['b, c', a] # two\nnc: 2\n"),
        ("images/train/x.png", &pictures),
        ("images/val/y.png", &pictures),
        ("images/val/empty.png", &pictures),
        ("labels/train/x.txt", b"1 0.5 0.5 0.1 0.2\n"),
        ("labels/val/y.txt", b"0 0.25 0.5 0.1 0.2 0.75\n"),
    ]);
    let whole = read(set.path()).unwrap();
    assert_eq!(whole.images.len(), 3);
    assert_eq!(whole.images[0].size, Some((200.0, 100.0)));
    assert_eq!(whole.classes.iter().map(|class| class.name.as_str()).collect::<Vec<_>>(), ["b, c", "a"]);
    assert_eq!(boxes(&whole), [(0, [40.0, 40.0, 60.0, 60.0]), (1, [90.0, 40.0, 110.0, 60.0])]);
    for part in ["images/val", "labels/val"] {
        let part = read(&set.path().join(part)).unwrap();
        assert_eq!((part.images.len(), part.objects.len()), (2, 1));
        assert_eq!((part.objects[0].score, part.objects[0].class), (Some(0.75), ClassId(0)));
    }
}

/// Two boxes that two tiles show, each cut by one of them, and a box of another class at the place of the
/// second, which is an object of its own.
#[test]
fn what_several_tiles_show_is_one_object_on_level_0() {
    let tile = png(100, 100);
    let set = folder(&[
        ("data.yaml", b"names:\n  0: \"a\"\n  1: \"b\"\n"),
        (
            "tiles.csv",
            b"tile,split,x_px,y_px,level0_px_per_px,labels,weight,repeats,image\n\
              s-0,train,1000,0,2,1,1,1,s\ns-1,train,1160,0,2,1,1,1,s\nt-0,val,0,0,1,1,1,1,t\n",
        ),
        ("images/train/s-0.png", &tile),
        ("images/train/s-1.png", &tile),
        ("images/val/t-0.png", &tile),
        // 1150 to 1190 and 1196 to 1200 (cut) in the first; the second starts at 1160.
        ("labels/train/s-0.txt", b"0 0.85 0.5 0.2 0.1\n0 0.99 0.8 0.02 0.1\n"),
        ("labels/train/s-1.txt", b"0 0.075 0.5 0.15 0.1\n0 0.24 0.8 0.12 0.1\n1 0.24 0.8 0.12 0.1\n"),
        ("labels/val/t-0.txt", b"1 0.5 0.5 0.1 0.1\n"),
    ]);
    let read_back = read(set.path()).unwrap();
    let names: Vec<&str> = read_back.images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["s", "t"]);
    assert_eq!(
        boxes(&read_back),
        [
            (0, [1150.0, 90.0, 1190.0, 110.0]),
            (0, [1196.0, 150.0, 1220.0, 170.0]),
            (1, [45.0, 45.0, 55.0, 55.0]),
            (1, [1196.0, 150.0, 1220.0, 170.0]),
        ]
    );
    // Given by parts, they are pictures in their own px.
    assert_eq!(read(&set.path().join("images")).unwrap().images.len(), 3);
}

#[test]
fn labels_of_another_kind_beside_pictures_are_read_as_what_they_are() {
    let set = folder(&[("images/a.png", &png(9, 9)), ("labels/a.csv", b"x,y\n1,2\n")]);
    assert_eq!(crate::names::stem(&read(&set.path().join("labels")).unwrap().images[0].name), "a");
    assert_eq!(read(set.path()).unwrap().objects.len(), 1);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let wrong = |names: &[u8], label: &[u8]| {
        let set = folder(&[("data.yaml", names), ("images/a.png", &png(9, 9)), ("labels/a.txt", label)]);
        read(set.path()).unwrap_err().to_string()
    };
    let outside = wrong(b"names: [a]\n", b"1 0.5 0.5 0.1 0.1\n");
    assert!(outside.contains("data.yaml: a label has class 1, expected one of 1 named"), "{outside}");
    let gap = wrong(b"names:\n  0: a\n  2: b\n", b"");
    assert!(gap.contains("expected a list of names, or a name for each number"), "{gap}");
    let line = wrong(b"names:\n- a\n", b"0 0.5 0.5\n");
    assert!(line.contains("YOLO labels, line 1"), "{line}");
}

#[test]
fn names_are_read_however_they_are_written() {
    for text in [
        "names: [x, 'y z']",
        "names: {0: x, 1: \"y z\"}",
        "nc: 2\nnames:\n- x\n- y z\n",
        "names:\n    0: x\n    1: 'y z'\nkpt: 1",
    ] {
        assert_eq!(names_in(text).unwrap(), ["x", "y z"], "{text}");
    }
    assert_eq!(names_in("names: x"), None);
    assert_eq!(names_in("train: a"), None);
}

#[test]
fn labels_with_a_mark_or_float_classes_are_read() {
    for label in
        [&b"\xef\xbb\xbf1 0.5 0.5 0.1 0.2\n"[..], b"1.0 0.5 0.5 0.1 0.2\n", b"1\t0.5\t0.5\t0.1\t0.2\r\n"]
    {
        let set = folder(&[
            ("data.yaml", b"\xef\xbb\xbfnames: [a, b]\n"),
            ("images/x.png", &png(200, 100)),
            ("labels/x.txt", label),
        ]);
        assert_eq!(boxes(&read(set.path()).unwrap()), [(1, [90.0, 40.0, 110.0, 60.0])]);
    }
    let set = folder(&[("images/x.png", &png(200, 100)), ("labels/x.txt", b"1.5 0.5 0.5 0.1 0.2\n")]);
    let message = read(set.path()).unwrap_err().to_string();
    assert!(message.contains("line 1: class is \"1.5\", expected a whole number"), "{message}");
}

#[test]
fn the_size_of_a_jpeg_stands_behind_other_segments() {
    let frame = [0xff, 0xc2, 0, 17, 8, 0, 100, 0, 200, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0];
    let jpeg = [&[0xff, 0xd8, 0xff, 0xe1, 0, 6, 1, 2, 3, 4][..], &frame].concat();
    let set = folder(&[("images/x.jpg", &jpeg), ("labels/x.txt", b"0 0.5 0.5 0.1 0.2\n")]);
    assert_eq!(boxes(&read(set.path()).unwrap()), [(0, [90.0, 40.0, 110.0, 60.0])]);
    let cut = folder(&[("images/x.jpg", &jpeg[..8]), ("labels/x.txt", b"")]);
    assert!(read(cut.path()).is_err());
}
