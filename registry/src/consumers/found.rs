//! What an extractor finds in a query: a name as it is written there, and what the query does with it.

use serde::Deserialize;

/// What a query does with what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    /// One result for each of its values.
    GroupsBy,
    /// Only what has a certain value.
    FiltersOn,
    /// Adds its values up.
    Sums,
    /// Takes an average, an extreme, a quantile or a distribution of its values.
    Measures,
    /// Counts what has it.
    Counts,
    /// Shows it.
    Reads,
}

impl Usage {
    /// As declarations have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GroupsBy => "groups_by",
            Self::FiltersOn => "filters_on",
            Self::Sums => "sums",
            Self::Measures => "measures",
            Self::Counts => "counts",
            Self::Reads => "reads",
        }
    }

    /// As in "PANEL groups by `x`".
    pub fn verb(self) -> &'static str {
        match self {
            Self::GroupsBy => "groups by",
            Self::FiltersOn => "filters on",
            Self::Sums => "sums",
            Self::Measures => "measures",
            Self::Counts => "counts",
            Self::Reads => "reads",
        }
    }
}

/// What kind of thing a name in a query is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// An attribute of a span, point or event, or a column that holds one.
    Attribute,
    /// An attribute of the resource.
    Resource,
    /// An attribute of either.
    Either,
    /// A column of a table, which holds an attribute or anything else.
    Column,
    /// The value of a column that holds the keys of attributes.
    Key,
    /// The name of the span; the name in the query says nothing.
    SpanName,
    /// A metric.
    Metric,
}

/// A name that a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub what: What,
    /// As it is written: `gen_ai.request.model` or, in Prometheus, `gen_ai_request_model`.
    pub name: String,
    /// What the query does with it.
    pub usage: Usage,
    /// Values that it is compared with; those that are not known here are left out.
    pub values: Vec<Value>,
}

/// A value that a query compares with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The text.
    pub text: String,
    /// It is a regular expression, or SQL's `LIKE`.
    pub pattern: bool,
}

impl Value {
    /// The value, unless a variable of the dashboard is part of it.
    pub(super) fn known(text: &str, pattern: bool) -> Option<Self> {
        let variable = text.match_indices('$').any(|(at, _)| {
            text[at + 1..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '{'))
        });
        (!variable && !text.contains("[[")).then(|| Self { text: text.to_owned(), pattern })
    }
}

/// What aggregates in any of the three languages: PromQL's operators and functions, TraceQL's, and what SQL databases commonly have.
pub(super) fn aggregation(name: &str) -> Option<Usage> {
    let name = name.to_ascii_lowercase();
    Some(match name.as_str() {
        "sum" | "sum_over_time" | "rate" | "increase" | "irate" | "sumif" | "total" => Usage::Sums,
        "count" | "count_over_time" | "countif" | "uniq" | "count_values" | "approx_count_distinct" => {
            Usage::Counts
        }
        "avg"
        | "avgif"
        | "min"
        | "max"
        | "median"
        | "stddev"
        | "stddev_pop"
        | "stdvar"
        | "quantile"
        | "histogram_quantile"
        | "avg_over_time"
        | "min_over_time"
        | "max_over_time"
        | "quantile_over_time"
        | "histogram_over_time"
        | "stddev_over_time"
        | "percentile_cont"
        | "percentile_disc"
        | "approx_percentile"
        | "approx_quantile"
        | "approx_quantiles"
        | "quantile_cont"
        | "quantile_disc"
        | "histogram_avg"
        | "delta"
        | "deriv"
        | "histogram_fraction"
        | "last_over_time" => Usage::Measures,
        // ClickHouse: quantileTDigest, quantilesExactWeighted...
        other if other.starts_with("quantile") => Usage::Measures,
        _ => return None,
    })
}
