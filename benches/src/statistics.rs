//! Medians, quartiles and ratios. Pure.

/// The value below which a share of the values lies, interpolated between two. 0 without values.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let at = share.clamp(0.0, 1.0) * last as f64;
    let below = sorted[at.floor() as usize];
    let above = sorted[at.ceil() as usize];
    below + (above - below) * at.fract()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// A ratio over several rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    /// The quartiles.
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The ratio of two sides that were measured in the same rounds, so that other load affects both.
/// `None` if a value is missing.
pub(crate) fn ratio(above: &[f64], below: &[f64]) -> Option<Ratio> {
    if above.len() != below.len() || above.is_empty() {
        return None;
    }
    let pairs = above.iter().zip(below);
    let ratios: Vec<f64> = pairs.map(|(above, below)| above / below).collect();
    ratios.iter().all(|ratio| ratio.is_finite()).then(|| Ratio {
        median: median(&ratios),
        low: quantile(&ratios, 0.25),
        high: quantile(&ratios, 0.75),
    })
}

/// The cost of a unit, and the constant cost: a linear fit of the points (x, y) by their relative
/// distance.
pub(crate) fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let (mut w, mut wx, mut wy, mut wxx, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for &(x, y) in points {
        let weight = 1.0 / (y * y);
        w += weight;
        wx += weight * x;
        wy += weight * y;
        wxx += weight * x * x;
        wxy += weight * x * y;
    }
    let determinant = w * wxx - wx * wx;
    let slope = (w * wxy - wx * wy) / determinant;
    let start = (wy - slope * wx) / w;
    (points.len() >= 3 && slope.is_finite() && start.is_finite()).then_some((slope, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), 3.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.25), 2.0);
        assert_eq!(quantile(&[1.0, 2.0], 0.75), 1.75);
        assert_eq!(quantile(&[1.0, 2.0], 7.0), 2.0);
    }

    #[test]
    fn a_ratio_is_taken_round_by_round_so_that_a_slow_round_does_not_count() {
        // In the second round the machine was three times slower.
        let ours = [100.0, 33.0, 102.0];
        let theirs = [50.0, 16.5, 51.0];
        let found = ratio(&ours, &theirs).unwrap();
        assert_eq!(found.median, 2.0);
        assert_eq!((found.low, found.high), (2.0, 2.0));
    }

    #[test]
    fn there_is_no_ratio_of_rounds_that_do_not_match() {
        assert_eq!(ratio(&[], &[]), None);
        assert_eq!(ratio(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(ratio(&[1.0, 1.0], &[1.0, 0.0]), None);
    }

    #[test]
    fn a_line_has_the_cost_of_a_unit_and_the_constant_cost() {
        let (slope, start) = line(&[(10.0, 25.0), (100.0, 205.0), (1000.0, 2005.0)]).unwrap();
        assert!((slope - 2.0).abs() < 1e-9, "{slope}");
        assert!((start - 5.0).abs() < 1e-6, "{start}");
        assert_eq!(line(&[(1.0, 1.0), (2.0, 2.0)]), None);
        assert_eq!(line(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
    }
}
