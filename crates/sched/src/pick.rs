//! The outcome of a pick: where to, and why; or why not.

use std::sync::Arc;

use crate::{Booking, Endpoint, Fleet};

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Pick {
    pub(crate) fleet: Fleet,
    pub(crate) chosen: usize,
    pub(crate) fallbacks: Vec<usize>,
    pub(crate) booking: Booking,
    pub(crate) prefill: Option<Box<Pick>>,
    /// Every score that led here.
    pub explanation: Explanation,
}

impl Pick {
    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.fleet.endpoints()[self.chosen]
    }

    /// What to try, in this order, when the endpoint does not answer at all: at most three of the next best.
    pub fn fallbacks(&self) -> impl Iterator<Item = &Endpoint> {
        self.fallbacks.iter().map(|index| &self.fleet.endpoints()[*index])
    }

    /// What the ledger should remember once the request has been sent to [`Pick::endpoint`].
    pub fn booking(&self) -> &Booking {
        &self.booking
    }

    /// Where the prompt is computed, if not at [`Pick::endpoint`]; with a booking of its own, to be released as soon as the
    /// answer begins.
    pub fn prefill(&self) -> Option<&Pick> {
        self.prefill.as_deref()
    }

    /// What the ledger should remember if the request was sent to another endpoint, a fallback, instead.
    pub fn booking_for(&self, endpoint: &Endpoint) -> Booking {
        self.booking.moved_to(endpoint)
    }
}

/// The scores behind a pick, one column for each scorer and one row for each candidate.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub(crate) fleet: Fleet,
    pub(crate) candidates: Vec<u32>,
    /// Weighted sums, in the order of the candidates; what the picker saw.
    pub(crate) totals: Vec<f64>,
    /// The columns, in the order of the profile.
    pub columns: Vec<ScorerColumn>,
    /// The name of the profile.
    pub profile: Arc<str>,
    /// The type of the picker that made the choice.
    pub picker: &'static str,
}

/// The scores that one scorer gave.
#[derive(Clone, Debug)]
pub struct ScorerColumn {
    /// The plugin's name in the configuration.
    pub name: Arc<str>,
    /// Its weight in the profile.
    pub weight: f64,
    /// Scores from 0 to 1, before the weight, in the order of the candidates.
    pub scores: Vec<f64>,
}

impl Explanation {
    /// The candidates with their totals, in the order of the fleet.
    pub fn rows(&self) -> impl Iterator<Item = (&Endpoint, f64)> {
        self.candidates
            .iter()
            .zip(&self.totals)
            .map(|(index, total)| (&self.fleet.endpoints()[*index as usize], *total))
    }

    /// The score, before the weight, that a scorer gave to an endpoint; `None` if either is not known here.
    pub fn score(&self, scorer: &str, endpoint_id: &str) -> Option<f64> {
        let row = self.rows().position(|(endpoint, _)| &*endpoint.id == endpoint_id)?;
        let column = self.columns.iter().find(|column| &*column.name == scorer)?;
        column.scores.get(row).copied()
    }
}

/// Why no endpoint was picked. The message is for the client, with [`Refusal::status`] and [`Refusal::reason`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The fleet is empty: nothing is deployed, or it was scaled to zero.
    #[error("no engine serves this model: the pool has no endpoint")]
    NoEndpoint,
    /// There are endpoints, none of which is ready.
    #[error("no engine is ready: {not_ready} of {not_ready} endpoints are still starting or failing")]
    NoneReady {
        /// How many there are.
        not_ready: usize,
    },
    /// The request names a subset of the fleet that holds no ready endpoint.
    #[error("none of the endpoints that the request is restricted to is ready")]
    EmptySubset,
    /// The profile's filters left nothing.
    #[error("no endpoint passes the filter {filter}")]
    AllFiltered {
        /// The filter that removed the last candidate.
        filter: Arc<str>,
    },
    /// The fleet is saturated and the request may be dropped.
    #[error("the engines are saturated and the request has a negative priority")]
    Saturated,
}

impl Refusal {
    /// The HTTP status: 503 when nothing can serve, 429 when the request is dropped.
    pub fn status(&self) -> u16 {
        match self {
            Self::NoEndpoint | Self::NoneReady { .. } | Self::EmptySubset => 503,
            Self::AllFiltered { .. } | Self::Saturated => 429,
        }
    }

    /// The value of the header `x-llm-d-request-dropped-reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoEndpoint | Self::NoneReady { .. } | Self::EmptySubset => "rejected-no-endpoints",
            Self::AllFiltered { .. } | Self::Saturated => "rejected-saturated",
        }
    }
}
