use rand_pcg::{Pcg64, rand_core::Rng};
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp};

use super::*;
use crate::{objects::Shape, polygon::Polygon};

/// Known rates of a made-up annotator.
#[derive(Clone, Copy)]
struct Habits {
    misses: f64,
    /// False marks per real object.
    invents: f64,
    jitter_px: f64,
    slips: f64,
}

struct Random(Pcg64);

impl Random {
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Roughly normal: the sum of twelve uniform numbers.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}

const SIDE: f64 = 24.0;

fn object(centre: Level0Point, class: u16) -> Object {
    let half = euclid::vec2(SIDE / 2.0, SIDE / 2.0);
    Object {
        id: 0,
        image: ImageId(0),
        class: ClassId(class),
        score: None,
        shape: Shape::Box(Level0Box::new(centre - half, centre + half)),
        role: Role::Object,
    }
}

fn empty_set() -> ObjectSet {
    let mut set = ObjectSet::default();
    set.image_named("slide");
    set.images[0].mpp = Mpp::new(0.25).ok();
    set.images[0].size = Some((4000.0, 4000.0));
    set.class_named("tumour").unwrap();
    set.class_named("stroma").unwrap();
    set
}

/// A grid of `n` × `n` cells with uneven gaps, a third of them stroma.
fn true_cells(n: usize, random: &mut Random) -> ObjectSet {
    let mut set = empty_set();
    for place in 0..n * n {
        let (column, row) = ((place % n) as f64, (place / n) as f64);
        let [x, y] = [column, row].map(|index| 40.0 + index * 60.0 + 8.0 * random.unit());
        let centre = euclid::point2(x, y);
        set.objects.push(object(centre, u16::from(place % 3 == 0)));
    }
    set
}

fn annotated(truth: &ObjectSet, habits: Habits, random: &mut Random) -> ObjectSet {
    let mut set = empty_set();
    for real in &truth.objects {
        if !random.happens(habits.misses) {
            let shift = euclid::vec2(random.normal(), random.normal()) * habits.jitter_px;
            let slip = u16::from(random.happens(habits.slips));
            set.objects.push(object(real.shape.centroid() + shift, real.class.0 ^ slip));
        }
        if random.happens(habits.invents) {
            let centre = euclid::point2(4000.0 * random.unit(), 4000.0 * random.unit());
            set.objects.push(object(centre, 0));
        }
    }
    set
}

fn panel(habits: &[Habits], seed: u128) -> (ObjectSet, Vec<Annotator>) {
    let mut random = Random(Pcg64::new(seed, 1));
    let truth = true_cells(60, &mut random);
    let annotators = (habits.iter().enumerate())
        .map(|(place, &habits)| Annotator {
            name: format!("annotator {place}"),
            weight: 1.0,
            set: annotated(&truth, habits, &mut random),
        })
        .collect();
    (truth, annotators)
}

fn habits(misses: f64, invents: f64) -> Habits {
    Habits { misses, invents, jitter_px: 1.5, slips: 0.05 }
}

fn assert_recovered(habits: &[Habits], consensus: &Consensus) {
    for (one, habits) in consensus.annotators.iter().zip(habits) {
        let precision = (1.0 - habits.misses) / (1.0 - habits.misses + habits.invents);
        let (found, expected) = (one.sensitivity.unwrap(), 1.0 - habits.misses);
        assert!((found - expected).abs() < 0.025, "{}: sensitivity {found}, made with {expected}", one.name);
        let found = one.precision.unwrap();
        assert!((found - precision).abs() < 0.025, "{}: precision {found}, made with {precision}", one.name);
    }
}

#[test]
fn five_simulated_annotators_are_recovered() {
    let habits =
        [habits(0.05, 0.02), habits(0.1, 0.1), habits(0.2, 0.05), habits(0.3, 0.15), habits(0.15, 0.3)];
    let (truth, annotators) = panel(&habits, 1);
    for criterion in [Criterion::BoxIou(0.4), Criterion::DistanceUm(3.0)] {
        let settings = ConsensusSettings { criterion, ..ConsensusSettings::default() };
        let consensus = agree(annotators.clone(), &settings).unwrap();
        assert_recovered(&habits, &consensus);
        let found = crate::evaluate(
            truth.clone(),
            consensus.truth(),
            &crate::EvaluationSettings { criterion, min_score: 0.0, bootstrap: None, ..Default::default() },
        )
        .unwrap();
        let working = found.overall.working;
        assert!(working.precision.unwrap() > 0.98, "{working:?}");
        assert!(working.recall.unwrap() > 0.96, "{working:?}");
        // Five voters with 5 % slips each.
        assert!(found.confusion.accuracy.unwrap() > 0.99);
        let kappas: Vec<f64> = consensus.pairs.iter().map(|pair| pair.class_kappa.unwrap()).collect();
        // 5 % slips on both sides: 90.5 % agree, chance 54.9 %.
        assert!(kappas.iter().all(|kappa| (kappa - 0.79).abs() < 0.05), "{kappas:?}");
        assert!((consensus.class_kappa.unwrap() - 0.79).abs() < 0.03);
    }
}

#[test]
fn three_simulated_annotators_are_recovered_with_what_all_missed() {
    let habits = [habits(0.2, 0.05), habits(0.3, 0.1), habits(0.4, 0.2)];
    let (truth, annotators) = panel(&habits, 2);
    let settings =
        ConsensusSettings { criterion: Criterion::DistanceUm(3.0), ..ConsensusSettings::default() };
    let consensus = agree(annotators, &settings).unwrap();
    assert_recovered(&habits, &consensus);
    let expected = truth.objects.len() as f64 * 0.2 * 0.3 * 0.4;
    let missed = consensus.missed_by_all.unwrap();
    assert!((missed - expected).abs() < 0.35 * expected, "{missed}, made with {expected}");
}

#[test]
fn weights_can_overrule_the_many() {
    let (_, mut annotators) = panel(&[habits(0.0, 0.0), habits(0.5, 0.0), habits(0.5, 0.0)], 3);
    annotators[0].weight = 5.0;
    let settings =
        ConsensusSettings { criterion: Criterion::DistanceUm(3.0), ..ConsensusSettings::default() };
    let marked = annotators[0].set.objects.len();
    assert_eq!(agree(annotators, &settings).unwrap().truth().objects.len(), marked);
}

fn boxes(centres: &[(f64, f64)]) -> Annotator {
    let mut set = empty_set();
    set.objects = centres.iter().map(|&(x, y)| object(euclid::point2(x, y), 0)).collect();
    Annotator { name: String::new(), weight: 1.0, set }
}

fn supporters(annotators: Vec<Annotator>, grouping: Grouping) -> Vec<Vec<usize>> {
    let settings =
        ConsensusSettings { criterion: Criterion::BoxIou(0.3), grouping, ..ConsensusSettings::default() };
    agree(annotators, &settings).unwrap().objects.into_iter().map(|object| object.supporters).collect()
}

#[test]
fn a_touching_chain_stays_apart_and_nobody_is_twice_in_a_group() {
    // Each overlaps the next by 2/3 of a side; the ends do not overlap enough.
    let chain = [boxes(&[(100.0, 100.0)]), boxes(&[(108.0, 100.0)]), boxes(&[(118.0, 100.0)])];
    assert_eq!(supporters(chain.to_vec(), Grouping::CompleteLink), [vec![0, 1], vec![2]]);
    let twice = [boxes(&[(100.0, 100.0), (104.0, 100.0)]), boxes(&[(105.0, 100.0)])];
    assert_eq!(supporters(twice.to_vec(), Grouping::CompleteLink), [vec![0], vec![0, 1]]);
    let density = Grouping::Density { min_samples: 2 };
    assert_eq!(supporters(twice.to_vec(), density), [vec![0], vec![0, 1]]);
    assert_eq!(supporters(chain.to_vec(), density), [vec![0, 1, 2]]);
}

#[test]
fn an_image_only_some_looked_at_is_judged_by_those() {
    let mut two = vec![boxes(&[(100.0, 100.0)]), boxes(&[(100.0, 100.0)]), boxes(&[])];
    two[2].set.images[0].name = "another".to_owned();
    two[2].set.image_named("third");
    two[0].set.image_named("third");
    two[1].set.image_named("third");
    let consensus = agree(two, &ConsensusSettings::default()).unwrap();
    assert_eq!(consensus.objects.len(), 1);
    assert_eq!((consensus.objects[0].readers, consensus.objects[0].agreement), (2, 1.0));
    assert!(consensus.objects[0].disputes.is_empty());
}

#[test]
fn two_annotators_get_no_rater_model_and_one_no_consensus() {
    let two = vec![boxes(&[(100.0, 100.0)]), boxes(&[(100.0, 100.0), (300.0, 100.0)])];
    let consensus = agree(two, &ConsensusSettings::default()).unwrap();
    assert_eq!((consensus.annotators[0].sensitivity, consensus.missed_by_all), (None, None));
    assert_eq!(consensus.pairs[0].f1, Some(2.0 / 3.0));
    let one = agree(vec![boxes(&[])], &ConsensusSettings::default());
    assert!(matches!(one, Err(EvalError::Empty(_))));
}

/// One box, and a square with a hole that lies `offset` px to the right.
fn outlined(offset: f64, name: &str) -> Annotator {
    let mut one = boxes(&[(200.0, 200.0)]);
    let square = [(10.0, 10.0), (30.0, 10.0), (30.0, 30.0), (10.0, 30.0)];
    let hole = Polygon::from_box(Level0Box::new(euclid::point2(15.0, 15.0), euclid::point2(18.0, 18.0)));
    let mut polygon = Polygon::from_ring(square.map(|(x, y)| euclid::point2(x + offset, y)).to_vec());
    polygon.rings.extend(hole.rings);
    let shape = Shape::Polygon(Box::new(polygon));
    one.set.objects.push(Object { shape, ..one.set.objects[0].clone() });
    one.name = name.to_owned();
    one
}

#[test]
fn qupath_reads_what_is_written_and_so_do_we() {
    let settings = ConsensusSettings { criterion: Criterion::MaskIou(0.5), ..ConsensusSettings::default() };
    let consensus = agree(vec![outlined(0.0, "anna"), outlined(1.0, "ben")], &settings).unwrap();
    let mut text = Vec::new();
    consensus.write_geojson(ImageId(0), geojson::Which::Kept, &mut text).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let feature = &json["features"][1];
    assert_eq!(feature["properties"]["objectType"], "detection");
    assert_eq!(feature["properties"]["metadata"]["Supporters"], "anna, ben");
    assert_eq!(feature["geometry"]["type"], "Polygon");
    assert_eq!(feature["geometry"]["coordinates"][0][0], feature["geometry"]["coordinates"][0][4]);
    assert_eq!(feature["id"].as_str().unwrap().len(), 36);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.geojson");
    std::fs::write(&path, &text).unwrap();
    let back = crate::truth::read(&path, &crate::truth::ReadSettings::default()).unwrap().set;
    let areas: Vec<f64> = back.objects.iter().map(|object| object.shape.area()).collect();
    assert_eq!(areas, [SIDE * SIDE, 391.0]);
}
