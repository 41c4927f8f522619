//! A relay's metrics as a scrape shows them.

/// One scrape, in Prometheus's text format.
#[derive(Debug, Clone)]
pub struct Metrics(pub(super) String);

impl Metrics {
    /// The sum of a metric over all its series that have these labels; 0 if there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let series = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, labels) = series.split_once('{').unwrap_or((series, ""));
            let matches = found == name && wanted.iter().all(|label| labels.contains(label));
            matches.then(|| value.parse::<f64>().ok()).flatten()
        });
        series.sum()
    }

    /// Number of series.
    #[must_use]
    pub fn series(&self) -> usize {
        self.0.lines().filter(|line| !line.starts_with('#')).count()
    }

    /// Frames dropped for this cause.
    #[must_use]
    pub fn frames_dropped(&self, cause: &str) -> f64 {
        self.sum("tribune_relay_frames_dropped_total", &[("cause", cause)])
    }

    /// Memory in use, in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> f64 {
        self.sum("process_resident_memory_bytes", &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_the_series_that_match() {
        let text = "# HELP a b\na{shard=\"0\",cause=\"x\"} 1\na{shard=\"1\",cause=\"x\"} 2\n\
                    a{shard=\"1\",cause=\"y\"} 4\nab 8\nb 16\n";
        let metrics = Metrics(text.to_owned());
        assert_eq!(metrics.sum("a", &[]), 7.0);
        assert_eq!(metrics.sum("a", &[("cause", "x")]), 3.0);
        assert_eq!(metrics.sum("a", &[("cause", "x"), ("shard", "1")]), 2.0);
        assert_eq!(metrics.sum("b", &[]), 16.0);
        assert_eq!(metrics.sum("c", &[]), 0.0);
        assert_eq!(metrics.series(), 5);
    }
}
