//! Groups of objects of different annotators that are the same object.

use crate::{consensus::dbscan, matching::Candidates};

/// Joins the nearest pairs first; two groups become one when no annotator is in
/// both and every pair between them is near (complete linkage), so a chain of
/// touching cells never becomes one. Groups and members are in rising order.
///
/// `near` holds the pairs of all objects with all (themselves too), `annotator_of` the annotator of each.
#[must_use]
pub fn complete_link(near: &Candidates, annotator_of: &[usize]) -> Vec<Vec<u32>> {
    let mut pairs: Vec<(f64, u32, u32)> = Vec::new();
    for a in 0..annotator_of.len() as u32 {
        let others = near.of(a).iter().filter(|c| c.truth > a);
        let foreign = others.filter(|c| annotator_of[c.truth as usize] != annotator_of[a as usize]);
        pairs.extend(foreign.map(|c| (c.similarity, a, c.truth)));
    }
    pairs.sort_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2).cmp(&(y.1, y.2))));
    let mut groups: Vec<Vec<u32>> = (0..annotator_of.len() as u32).map(|object| vec![object]).collect();
    let mut group_of: Vec<usize> = (0..annotator_of.len()).collect();
    for (_, a, b) in pairs {
        let (into, from) = (group_of[a as usize], group_of[b as usize]);
        if into == from || !may_join(near, annotator_of, &groups[into], &groups[from]) {
            continue;
        }
        let moved = std::mem::take(&mut groups[from]);
        moved.iter().for_each(|&object| group_of[object as usize] = into);
        groups[into].extend(moved);
    }
    in_order(groups)
}

fn may_join(near: &Candidates, annotator_of: &[usize], a: &[u32], b: &[u32]) -> bool {
    a.iter().all(|&one| {
        b.iter().all(|&other| {
            let strangers = annotator_of[one as usize] != annotator_of[other as usize];
            strangers && similarity(near, one, other).is_some()
        })
    })
}

fn similarity(near: &Candidates, a: u32, b: u32) -> Option<f64> {
    let pairs = near.of(a);
    let place = pairs.binary_search_by_key(&b, |candidate| candidate.truth).ok()?;
    Some(pairs[place].similarity)
}

/// DBSCAN clusters. Where an annotator has several objects in one, the object nearest to those of the others
/// stays and the rest stand alone, as noise does.
#[must_use]
pub fn by_density(near: &Candidates, annotator_of: &[usize], min_samples: usize) -> Vec<Vec<u32>> {
    let objects = annotator_of.len() as u32;
    let neighbours: Vec<Vec<u32>> =
        (0..objects).map(|object| near.of(object).iter().map(|c| c.truth).collect()).collect();
    let labels = dbscan(&neighbours, min_samples);
    let clusters = labels.iter().flatten().max().map_or(0, |last| last + 1);
    let mut groups: Vec<Vec<u32>> = vec![Vec::new(); clusters as usize];
    for (object, label) in (0..objects).zip(&labels) {
        match label {
            Some(cluster) => groups[*cluster as usize].push(object),
            None => groups.push(vec![object]),
        }
    }
    in_order(groups.into_iter().flat_map(|group| one_per_annotator(near, annotator_of, group)).collect())
}

fn one_per_annotator(near: &Candidates, annotator_of: &[usize], group: Vec<u32>) -> Vec<Vec<u32>> {
    let mut ranked: Vec<(f64, u32)> = (group.iter())
        .map(|&object| {
            let annotator = annotator_of[object as usize];
            let foreign = group.iter().copied().filter(|&other| annotator_of[other as usize] != annotator);
            (ties(near, object, foreign), object)
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut taken = Vec::new();
    let (mut kept, mut alone) = (Vec::new(), Vec::new());
    for (_, object) in ranked {
        let annotator = annotator_of[object as usize];
        if taken.contains(&annotator) {
            alone.push(vec![object]);
        } else {
            taken.push(annotator);
            kept.push(object);
        }
    }
    alone.push(kept);
    alone
}

/// A similarity that only grows with company: distances are negative, so they
/// are turned into 1 / (1 + distance).
fn closeness(near: &Candidates, a: u32, b: u32) -> Option<f64> {
    similarity(near, a, b).map(|s| if s > 0.0 { s } else { 1.0 / (1.0 - s) })
}

/// The place among `members` of the one most similar to the others.
#[must_use]
pub fn medoid(near: &Candidates, members: &[u32]) -> usize {
    let ties: Vec<f64> = (members.iter())
        .map(|&object| ties(near, object, members.iter().copied().filter(|&other| other != object)))
        .collect();
    (0..members.len()).reduce(|best, place| if ties[place] > ties[best] { place } else { best }).unwrap_or(0)
}

/// The closeness of an object to each of `others`, added.
fn ties(near: &Candidates, object: u32, others: impl Iterator<Item = u32>) -> f64 {
    others.filter_map(|other| closeness(near, object, other)).sum()
}

fn in_order(groups: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    let mut groups: Vec<Vec<u32>> = groups.into_iter().filter(|group| !group.is_empty()).collect();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort_unstable();
    groups
}
