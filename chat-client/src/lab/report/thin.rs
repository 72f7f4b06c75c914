//! Fewer points for the same picture.

/// A value from a moment on.
pub(super) type Point = (u64, u64);

/// At most about `points_max` of these points, in the order of time: of each stretch of time the first,
/// the lowest, the highest and the last, so that the line covers the same pixels (M4: Jugel et al.,
/// *M4: A Visualization-Oriented Time Series Data Aggregation*, VLDB 2014).
pub(super) fn thin(points: &[Point], points_max: usize) -> Vec<Point> {
    let ([(begin, _), .., (end, _)], true) = (points, points.len() > points_max) else {
        return points.to_vec();
    };
    let stretches = (points_max / 4).max(1) as u64;
    let length = (end - begin) / stretches + 1;
    let stretch_of = |point: &Point| (point.0 - begin) / length;
    points.chunk_by(|a, b| stretch_of(a) == stretch_of(b)).flat_map(corners).collect()
}

fn corners(stretch: &[Point]) -> Vec<Point> {
    let indices = 0..stretch.len();
    let value = |index: &usize| stretch[*index].1;
    let lowest = indices.clone().min_by_key(value).unwrap_or(0);
    let highest = indices.max_by_key(value).unwrap_or(0);
    let mut kept = vec![0, lowest, highest, stretch.len() - 1];
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|index| stretch[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_points_stay_as_they_are() {
        assert_eq!(thin(&[], 8), []);
        assert_eq!(thin(&[(3, 1), (5, 9)], 8), [(3, 1), (5, 9)]);
    }

    #[test]
    fn a_peak_that_lasts_for_one_point_is_kept() {
        let points: Vec<Point> = (0..10_000)
            .map(|time| {
                let value = if time == 7_777 { 1_000_000 } else { 100 + time % 7 };
                (time, value)
            })
            .collect();
        let few = thin(&points, 400);
        assert!(few.len() <= 404, "{}", few.len());
        assert!(few.contains(&(7_777, 1_000_000)) && few.is_sorted());
        assert_eq!((few.first(), few.last()), (points.first(), points.last()));
    }
}
