//! Verify as each contract has it: one decision, counted for that contract.

use std::sync::Arc;

use domain::{
    Error, Outage,
    caller::Caller,
    cooperation::Pace,
    keys::{Keys, Question, Step},
    refusal::Refusal,
    verdict::Verdict,
};
use futures_util::future::try_join_all;
use prometheus::IntCounter;

use crate::{failure::Failure, metrics::Metrics};

/// A check of a permission takes as long as the reading of so many bytes.
const BYTES: usize = 32;

/// Decides for one contract. The caller holds `api_keys:verify`.
pub struct Verifier {
    keys: Arc<Keys>,
    outcomes: Outcomes,
}

impl Verifier {
    /// For the contract of this name.
    #[must_use]
    pub fn new(keys: Arc<Keys>, metrics: &Metrics, contract: &str) -> Self {
        Self { keys, outcomes: Outcomes::new(metrics, contract) }
    }

    /// Whether a key is good for what is asked; the use is counted if it is.
    ///
    /// # Errors
    /// The database is away.
    pub async fn verify(&self, caller: &Caller, question: Question<'_>) -> Result<Verdict, Failure> {
        let verdict = match self.keys.begin(caller, question) {
            Step::Decided(verdict) => Ok(verdict),
            // Boxed, because it is large and seldom: the usual answer would carry it around.
            step => Box::pin(self.keys.finish(caller, question, step)).await,
        };
        self.outcomes.count(&verdict);
        Ok(verdict.map_err(Error::from)?)
    }

    /// The same for many, in the order of the questions. What has to be read or counted is read and counted together.
    ///
    /// # Errors
    /// The database is away, for one of them at least. Uses that were counted before stay counted.
    pub async fn verify_all(&self, caller: &Caller, questions: &[Question<'_>]) -> Result<Vec<Verdict>, Failure> {
        let (mut steps, mut pace) = (Vec::with_capacity(questions.len()), Pace::default());
        for question in questions {
            // A question may name 256 permissions: a hundred such questions would keep others waiting for milliseconds.
            pace.worked(question.permissions.len() * BYTES).await;
            steps.push(self.keys.begin(caller, *question));
        }
        let verdicts = if steps.iter().all(|step| matches!(step, Step::Decided(_))) {
            let decided = |step| if let Step::Decided(verdict) = step { Some(verdict) } else { None };
            Ok(steps.into_iter().filter_map(decided).collect::<Vec<_>>())
        } else {
            let rest = questions.iter().zip(steps);
            try_join_all(rest.map(|(question, step)| self.keys.finish(caller, *question, step))).await
        };
        match &verdicts {
            Ok(verdicts) => verdicts.iter().for_each(|verdict| self.outcomes.told(verdict).inc()),
            Err(_) => self.outcomes.unavailable.inc_by(questions.len() as u64),
        }
        Ok(verdicts.map_err(Error::from)?)
    }

    /// Counts where nobody could be found to be the caller because the database is away: the verify has no verdict then.
    ///
    /// # Errors
    /// What the caller's admission failed with.
    pub fn admitted(&self, caller: Result<Caller, Failure>) -> Result<Caller, Failure> {
        if let Err(Failure::Refused(Error::Outage(_))) = &caller {
            self.outcomes.unavailable.inc();
        }
        caller
    }

    /// Valid ones and refused ones so far.
    #[must_use]
    pub fn sums(&self) -> (u64, u64) {
        (self.outcomes.valid.get(), self.outcomes.refused.iter().map(IntCounter::get).sum())
    }
}

/// How often each outcome was told.
pub struct Outcomes {
    valid: IntCounter,
    refused: [IntCounter; Refusal::CODES.len()],
    unavailable: IntCounter,
}

impl Outcomes {
    /// Of the contract of this name.
    #[must_use]
    pub fn new(metrics: &Metrics, contract: &str) -> Self {
        Self {
            valid: metrics.verified(contract, "VALID"),
            refused: Refusal::CODES.map(|code| metrics.verified(contract, code)),
            unavailable: metrics.verified(contract, "UNAVAILABLE"),
        }
    }

    /// Counts an outcome.
    pub fn count(&self, outcome: &Result<Verdict, Outage>) {
        match outcome {
            Ok(verdict) => self.told(verdict).inc(),
            Err(_) => self.unavailable.inc(),
        }
    }

    /// Counts what became of a key that was shown as a credential.
    pub fn count_shown<T>(&self, outcome: &Result<T, Failure>) {
        match outcome {
            Ok(_) => self.valid.inc(),
            Err(Failure::Refused(Error::Unauthenticated(refusal))) => self.refused[refusal.place()].inc(),
            Err(Failure::Refused(Error::Outage(_))) => self.unavailable.inc(),
            Err(_) => {}
        }
    }

    fn told(&self, verdict: &Verdict) -> &IntCounter {
        match verdict {
            Verdict::Valid(_) => &self.valid,
            Verdict::Refused { refusal, .. } => &self.refused[refusal.place()],
        }
    }
}
