//! DBSCAN over given neighbourhoods.

/// Clusters of points by density (Ester et al., KDD 1996); `None` is noise.
///
/// `neighbours[i]` lists the points within eps of `i`, `i` itself included. A
/// point with at least `min_samples` of them is a core. Labels are those of
/// scikit-learn: clusters are numbered by their first core, and a point at the
/// border of two belongs to the first.
#[must_use]
pub fn dbscan(neighbours: &[Vec<u32>], min_samples: usize) -> Vec<Option<u32>> {
    let is_core = |point: u32| neighbours[point as usize].len() >= min_samples;
    let mut labels = vec![None; neighbours.len()];
    let mut cluster = 0;
    for seed in 0..neighbours.len() as u32 {
        if labels[seed as usize].is_some() || !is_core(seed) {
            continue;
        }
        let mut reached = vec![seed];
        while let Some(point) = reached.pop() {
            if labels[point as usize].is_some() {
                continue;
            }
            labels[point as usize] = Some(cluster);
            if is_core(point) {
                reached.extend(&neighbours[point as usize]);
            }
        }
        cluster += 1;
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_point_belongs_to_the_first_cluster_and_noise_to_none() {
        // On a line, eps 1: 0 1 2 . 3.5(noise) ; cores need three.
        let at: [f64; 8] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 2.5];
        let neighbours: Vec<Vec<u32>> = (at.iter())
            .map(|one| (0..at.len() as u32).filter(|&j| (one - at[j as usize]).abs() <= 1.0).collect())
            .collect();
        let labels = dbscan(&neighbours, 3);
        assert_eq!(labels[6], None);
        assert_eq!(labels[0], Some(0));
        let all_one = labels.iter().enumerate().all(|(i, label)| i == 6 || *label == Some(0));
        assert!(all_one, "{labels:?}");
        assert!(dbscan(&neighbours, 9).iter().all(Option::is_none));
    }
}
