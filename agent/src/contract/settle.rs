//! The last step before a span or resource goes out: it is put under its names and checked, and what is wrong with it is said and counted.

use std::iter;

use tracing::warn;

use super::{
    attributes::Attributes,
    check::{self, Context, Findings},
    key::{AttributeValue as _, Shape},
    names,
};
use crate::account::{Account, Counter, Rule};

/// Most entries of the lists that say what is wrong.
const MAX_SAID: usize = 32;

/// Puts the attributes under the names of the profile, makes them fit, and says on them what did not. `cut` names what else was cut.
/// It never fails: whatever is wrong, there is something to export.
pub(super) fn settle(
    set: &mut Attributes,
    shape: &Shape,
    context: Context,
    cut: impl Iterator<Item = &'static str>,
    account: &Account,
) {
    let findings = fit(set, shape, context, cut, account);
    let mut say = |def, said: Vec<String>| {
        if !said.is_empty() {
            set.put(def, said.into_value());
        }
    };
    let cut = findings.cut.iter().take(MAX_SAID).map(|field| (*field).to_owned());
    let violations = findings.violations.iter().take(MAX_SAID).map(ToString::to_string);
    if !context.profile.left_out.has(names::PLAINSPAN_CONTRACT_CUT.def()) {
        say(names::PLAINSPAN_CONTRACT_CUT.def(), cut.collect());
    }
    say(names::PLAINSPAN_CONTRACT_VIOLATIONS.def(), violations.collect());
}

/// The same for a point of a metric, on which nothing can be said: that would be another series.
pub(super) fn settle_point(set: &mut Attributes, shape: &Shape, context: Context, account: &Account) {
    fit(set, shape, context, iter::empty(), account);
}

/// Puts the attributes under their names and makes them fit; what did not is counted.
fn fit(
    set: &mut Attributes,
    shape: &Shape,
    context: Context,
    cut: impl Iterator<Item = &'static str>,
    account: &Account,
) -> Findings {
    set.rename(context.profile);
    let mut findings = check::fit(set, shape, context);
    findings.cut.extend(cut);
    for field in &findings.cut {
        account.add_to_rule(Counter::ValuesCut, Rule { kind: "", about: field });
    }
    for violation in &findings.violations {
        let rule = Rule { kind: violation.reason.name(), about: violation.key };
        if let Some(untold) = account.add_to_rule(Counter::ContractViolations, rule) {
            warn!(
                %violation,
                untold,
                "{} did not fit the contract: it goes out without what does not, and says so in {} (untold: how often since this \
                 was last said)",
                shape.name,
                names::PLAINSPAN_CONTRACT_VIOLATIONS.name(),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::contract::{Profile, Value};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_rule_is_logged_once_and_counted_every_time() {
        let (log, account) = (Log::default(), Account::default());
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..50 {
                let mut set = Attributes::default();
                set.set(names::GEN_AI_REQUEST_TEMPERATURE, f64::NAN);
                set.set(names::GEN_AI_REQUEST_MODEL, "secret".repeat(100));
                let context = Context { failed: true, content: false, profile: Profile::DEFAULT };
                settle(
                    &mut set,
                    &names::GEN_AI_CLIENT_INFERENCE,
                    context,
                    ["trace_state"].into_iter(),
                    &account,
                );
                let list = |key: &str| {
                    let found = set.of(key);
                    let Some(Value::Strings(said)) = found else { panic!("{key}: {found:?}") };
                    said.clone()
                };
                assert_eq!(list("plainspan.contract.cut"), ["gen_ai.request.model", "trace_state"]);
                assert_eq!(list("plainspan.contract.violations")[0], "type: gen_ai.request.temperature");
            }
        });
        let rules = account.rules(Counter::ContractViolations);
        assert_eq!(rules.len(), 8, "the temperature, and all that is missing: {rules:?}");
        assert!(rules.iter().all(|(_, count)| *count == 50), "{rules:?}");
        assert_eq!(account.get(Counter::ContractViolations), 8 * 50);
        assert_eq!(account.get(Counter::ValuesCut), 2 * 50);
        let told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(told.lines().count(), 8, "{told}");
        for (rule, _) in rules {
            let about = format!("violation={rule} untold=0");
            assert_eq!(told.matches(&about).count(), 1, "{about}\n{told}");
        }
        assert!(!told.contains("secret"), "{told}");
    }
}
