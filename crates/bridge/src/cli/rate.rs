//! Messages a second, as given on the command line.

/// A rate is a number above zero.
pub(super) fn parse(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err(format!("`{text}` is no rate; write messages a second, such as 200 or 0.5")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_above_zero() {
        assert_eq!(parse("0.5"), Ok(0.5));
        for bad in ["0", "-1", "nan", "inf", "", "fast"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
