use std::collections::HashSet;

use super::*;
use crate::{
    genai::{
        CallError, Content, FinishReason, Generation, Mcp, Message, Missed, Part, Party, Repetition,
        TraceContext,
    },
    wire::ExchangeEnd,
};

/// A Thursday in the morning.
const BASE: u64 = 1_700_000_000_000_000_000;

const MS: u64 = 1_000_000;

/// A source of numbers (SplitMix64; Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn trace(&mut self) -> [u8; 16] {
        (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes()
    }
}

fn sampler(settings: Settings) -> (Sampler, Arc<Account>) {
    let account = Arc::new(Account::default());
    (Sampler::new(settings, Arc::clone(&account)), account)
}

/// Only what is odd.
fn strict() -> Settings {
    Settings { rate: Rate::Part(0.0), floor: 0, ..Settings::default() }
}

/// A call that ended so long after the beginning, and took a tenth of a second.
fn call(after: u64) -> Call {
    let mut call = Call { ended: Some(ExchangeEnd::Complete), ..Call::default() };
    call.request.model = Some("m".to_owned());
    call.start = Timestamp(BASE + after);
    call.end = Timestamp(BASE + after + 100 * MS);
    call.transport.status = Some(200);
    call.response.generations = vec![stopped(FinishReason::Stop)];
    call
}

fn stopped(reason: FinishReason) -> Generation {
    Generation { finish_reason: Some(reason), ..Generation::default() }
}

fn traced(mut call: Call, trace_id: [u8; 16], state: Option<&str>) -> Call {
    let state = state.map(str::to_owned);
    call.trace = Some(TraceContext { trace_id, parent_id: [1; 8], flags: 3, state });
    call
}

fn reason(decision: Decision) -> Option<Reason> {
    match decision {
        Decision::Kept(kept) => Some(kept.reason),
        _ => None,
    }
}

#[test]
fn what_is_odd_about_a_call_by_itself() {
    type Change = fn(&mut Call);
    let rows: &[(Option<Reason>, Change)] = &[
        (None, |_| ()),
        (None, |call| call.response.generations = vec![stopped(FinishReason::ToolCall)]),
        (None, |call| call.response.generations.clear()),
        (None, |call| call.streaming.stalled = Some(false)),
        (Some(Reason::Error), |call| call.error = Some(CallError::default())),
        (Some(Reason::Error), |call| call.transport.status = Some(429)),
        (Some(Reason::Error), |call| {
            call.mcp = Some(Box::new(Mcp { error_code: Some("-32602".to_owned()), ..Mcp::default() }));
        }),
        (Some(Reason::Refusal), |call| {
            let parts = vec![Part::Refusal(Content::from("no"))];
            call.response.generations[0].message = Message { parts, ..Message::default() };
        }),
        (Some(Reason::Refusal), |call| {
            call.response.generations[0] = Generation {
                provider_finish_reason: Some("refusal".to_owned()),
                ..stopped(FinishReason::ContentFilter)
            };
        }),
        (Some(Reason::FinishReason), |call| call.response.generations[0] = stopped(FinishReason::Length)),
        (Some(Reason::FinishReason), |call| {
            call.response.generations.push(stopped(FinishReason::ContentFilter));
        }),
        (Some(Reason::FinishReason), |call| call.response.generations[0] = stopped(FinishReason::Error)),
        (Some(Reason::FinishReason), |call| {
            call.response.generations[0] = stopped(FinishReason::Other("new".into()));
        }),
        (Some(Reason::Truncated), |call| call.ended = Some(ExchangeEnd::ClosedLocally)),
        (Some(Reason::Truncated), |call| call.ended = Some(ExchangeEnd::CaptureEnd)),
        (Some(Reason::Truncated), |call| call.streaming.stopped_by = Some(Party::Server)),
        (Some(Reason::Truncated), |call| call.usage.partial = true),
        (Some(Reason::Stalled), |call| call.streaming.stalled = Some(true)),
        (Some(Reason::Repetition), |call| {
            call.response.repetition = Some(Repetition { period: 3, count: 100 });
        }),
        (Some(Reason::Damaged), |call| call.damage.request = Missed { lost: 1, ..Missed::default() }),
        (Some(Reason::Damaged), |call| call.damage.response = Missed { cut: 1, ..Missed::default() }),
        (Some(Reason::Damaged), |call| call.damage.response_malformed = true),
        (Some(Reason::Damaged), |call| call.ended = Some(ExchangeEnd::Unreadable)),
    ];
    for (at, (expected, change)) in rows.iter().enumerate() {
        let mut call = call(0);
        change(&mut call);
        let (mut all, account) = sampler(strict());
        let decision = all.decide(&call, [9; 16], &Kinds::default());
        assert_eq!(reason(decision), *expected, "row {at}");
        assert_eq!(account.get(Counter::CallsSampled), u64::from(expected.is_some()));
        assert_eq!(account.get(Counter::CallsUnsampled), u64::from(expected.is_none()));
        if let Decision::Kept(kept) = decision {
            assert_eq!((kept.threshold, kept.threshold.adjusted_count()), (Threshold::ALWAYS, 1.0));
            let (mut none, _) = sampler(Settings { keep: Oddities::NONE, ..strict() });
            assert_eq!(none.decide(&call, [9; 16], &Kinds::default()), Decision::Dropped, "row {at}");
        }
    }
}

#[test]
fn without_sampling_nothing_is_said_or_remembered() {
    let (mut sampler, account) = sampler(Settings::default());
    for n in 0..100 {
        let call = traced(call(n), [n as u8; 16], None);
        assert_eq!(sampler.decide(&call, [n as u8; 16], &Kinds::default()), Decision::Everything);
    }
    assert_eq!((sampler.cohorts.len(), sampler.traces.len(), sampler.kinds.len()), (0, 0, 0));
    assert_eq!(account.to_string(), "");
}

#[test]
fn slow_is_what_takes_long_among_its_like() {
    let (mut sampler, _) = sampler(strict());
    let timed = |n: u64, model: &str, ms: u64| {
        let mut call = call(n * MS);
        call.request.model = Some(model.to_owned());
        call.end = Timestamp(call.start.0 + ms * MS);
        call
    };
    for n in 0..300 {
        for (model, ms) in [("fast", 100 + n % 50), ("slow", 5000 + n % 500)] {
            sampler.decide(&timed(n, model, ms), [0; 16], &Kinds::default());
        }
    }
    for (model, ms, expected) in [
        ("fast", 120, None),
        ("fast", 400, Some(Reason::Slow)),
        ("slow", 5200, None),
        ("slow", 9000, Some(Reason::Slow)),
        ("unknown", 90_000, None),
    ] {
        let found = reason(sampler.decide(&timed(300, model, ms), [0; 16], &Kinds::default()));
        assert_eq!(found, expected, "{model} {ms}");
    }
    // Failures that come at once make nobody else slow.
    for n in 0..5000 {
        let mut failed = timed(400 + n, "slow", 1);
        failed.error = Some(CallError::default());
        sampler.decide(&failed, [0; 16], &Kinds::default());
    }
    assert_eq!(reason(sampler.decide(&timed(6000, "slow", 5200), [0; 16], &Kinds::default())), None);
}

#[test]
fn the_first_of_a_kind_is_kept_until_everything_is_new() {
    let (mut sampler, account) = sampler(strict());
    let hour = 3600 * 1000 * MS;
    let both = Kinds { template: Some("t"), tenant: Some("t"), ..Kinds::default() };
    for (after, kinds, expected) in [
        (0, Kinds { template: Some("t"), ..Kinds::default() }, Some(Reason::NewTemplate)),
        (1, Kinds { template: Some("t"), ..Kinds::default() }, None),
        (2, both, Some(Reason::NewTenant)),
        (3, both, None),
        (4, Kinds { revision: Some("t"), ..Kinds::default() }, Some(Reason::NewModelRevision)),
        (5, Kinds { tool_set: Some("t"), ..Kinds::default() }, Some(Reason::NewToolSet)),
        (hour, both, None),
        // Not seen for two hours.
        (4 * hour, both, Some(Reason::NewTemplate)),
    ] {
        assert_eq!(reason(sampler.decide(&call(after), [0; 16], &kinds)), expected, "{after} {kinds:?}");
    }
    let mut kept = 0;
    for n in 0..200_000 {
        let tenant = format!("tenant {n}");
        let kinds = Kinds { tenant: Some(&tenant), ..Kinds::default() };
        kept += u32::from(sampler.decide(&call(5 * hour), [0; 16], &kinds).kept());
    }
    assert_eq!(kept, NEW_A_MINUTE);
    assert_eq!(account.get(Counter::NewKindsPassed), u64::from(200_000 - NEW_A_MINUTE));
    assert!(sampler.kinds.len() <= 2 * KINDS);
    assert!(account.get(Counter::KindsForgotten) >= 200_000 - 2 * KINDS as u64);
}

#[test]
fn a_trace_is_kept_together() {
    let (mut sampler, account) = sampler(strict());
    let mut random = Random(1);
    let (odd, plain) = (random.trace(), random.trace());
    let mut failed = traced(call(0), odd, None);
    failed.transport.status = Some(500);
    assert_eq!(reason(sampler.decide(&traced(call(0), odd, None), odd, &Kinds::default())), None);
    assert_eq!(reason(sampler.decide(&failed, odd, &Kinds::default())), Some(Reason::Error));
    let later = sampler.decide(&traced(call(MS), odd, None), odd, &Kinds::default());
    assert_eq!(later, Decision::Kept(Kept { reason: Reason::Trace, threshold: Threshold::ALWAYS }));
    assert_eq!(reason(sampler.decide(&traced(call(MS), plain, None), plain, &Kinds::default())), None);
    // For a while.
    let late = traced(call(2 * TRACES_PERIOD * 1000 * MS), odd, None);
    assert_eq!(reason(sampler.decide(&late, odd, &Kinds::default())), None);
    // One that was kept by chance stays, when chance gets less.
    sampler.set(Settings { rate: Rate::Part(0.5), ..strict() });
    let lucky = [0xff; 16];
    let kept = sampler.decide(&traced(call(0), lucky, None), lucky, &Kinds::default());
    sampler.set(strict());
    assert_eq!(sampler.decide(&traced(call(0), lucky, None), lucky, &Kinds::default()), kept);
    assert_eq!(reason(kept), Some(Reason::Rate));
    for _ in 0..3 * TRACES {
        let id = random.trace();
        let mut failed = traced(call(MS), id, None);
        failed.error = Some(CallError::default());
        sampler.decide(&failed, id, &Kinds::default());
    }
    assert!(sampler.traces.len() <= 2 * TRACES);
    assert!(account.get(Counter::TracesForgotten) >= TRACES as u64);
}

#[test]
fn cohorts_have_a_floor_and_a_limit() {
    let (mut sampler, account) = sampler(Settings { floor: 2, ..strict() });
    let model = |n: u64, model: &str| {
        let mut call = call(n);
        call.request.model = Some(model.to_owned());
        call
    };
    let minute = 60_000 * MS;
    for (after, name, expected) in [
        (0, "a", Some(Reason::Floor)),
        (1, "a", Some(Reason::Floor)),
        (2, "a", None),
        (3, "b", Some(Reason::Floor)),
        (minute, "a", Some(Reason::Floor)),
    ] {
        let decision = sampler.decide(&model(after, name), [0; 16], &Kinds::default());
        assert_eq!(reason(decision), expected, "{after} {name}");
    }
    let kept = (0..100_000u64)
        .filter(|n| sampler.decide(&model(2 * minute, &format!("m{n}")), [0; 16], &Kinds::default()).kept())
        .count();
    assert!(sampler.cohorts.len() <= 1024 && kept <= 1026, "{kept}");
    assert_eq!(account.get(Counter::CohortsShared), 100_000 - 1022);
    // They make room when they are used no more.
    sampler.decide(&model(100 * minute, "new"), [0; 16], &Kinds::default());
    assert_eq!(sampler.cohorts.len(), 1);
}

#[test]
fn who_keeps_less_keeps_a_part_of_what_who_keeps_more_does() {
    let rates = [0.01, 0.1, 0.5, 0.9];
    let mut samplers = rates.map(|rate| sampler(Settings { rate: Rate::Part(rate), ..strict() }).0);
    let mut random = Random(7);
    let mut kept = [0u32; 4];
    for n in 0..20_000 {
        let own = random.trace();
        // Of its own, of a request, and with random bits beside it: not even of an id that isn't random.
        let bits = format!("x=1,ot=rv:{:014x};th:8", random.next() >> 8);
        let call = match n % 3 {
            0 => call(n),
            1 => traced(call(n), own, Some("ot=th:e")),
            _ => traced(call(n), [1; 16], Some(&bits)),
        };
        let id = if n % 3 == 2 { [1; 16] } else { own };
        // What was kept of a trace before would count too.
        for sampler in &mut samplers {
            sampler.traces = Recent::new(1, 1);
        }
        let decisions =
            samplers.each_mut().map(|sampler| sampler.decide(&call, id, &Kinds::default()).kept());
        assert!(decisions.is_sorted(), "{decisions:?}");
        kept.iter_mut().zip(decisions).for_each(|(kept, is)| *kept += u32::from(is));
    }
    for (kept, rate) in kept.iter().zip(rates) {
        let deviation = (20_000.0 * rate * (1.0 - rate)).sqrt();
        assert!((f64::from(*kept) - 20_000.0 * rate).abs() < 4.0 * deviation, "{kept} at {rate}");
    }
}

/// What spans say of how many calls there were, and of their tokens, against what was.
#[derive(Default)]
struct Sums {
    count: f64,
    tokens: f64,
    variance: [f64; 2],
    truth: [f64; 2],
    odd: [u32; 2],
    kept: u32,
}

/// Traffic as it is: bursts, several models, some calls in traces of several, some odd ones.
fn simulate(settings: Settings, seed: u64) -> Sums {
    let (mut sampler, _) = sampler(settings);
    let mut random = Random(seed);
    let mut sums = Sums::default();
    let mut trace = random.trace();
    let mut now = 0;
    for n in 0..20_000u64 {
        // Ten times as many every other twenty seconds.
        now += if (now / (20_000 * MS)).is_multiple_of(2) { 20 * MS } else { 2 * MS };
        let mut call = call(now);
        let model = random.below(4);
        call.request.model = Some(format!("m{model}"));
        call.response.model = call.request.model.clone();
        let tokens = 100 + random.below(2000);
        call.end = Timestamp(call.start.0 + (50 + tokens / 10) * MS);
        let is_odd = random.below(100) < 3;
        if is_odd {
            call.response.generations = vec![stopped(FinishReason::Length)];
        }
        if random.below(3) > 0 {
            trace = random.trace();
        }
        if n % 2 == 0 {
            call = traced(call, trace, Some(if n % 4 == 0 { "ot=th:8" } else { "a=1" }));
        }
        let id = if call.trace.is_some() { trace } else { random.trace() };
        let tenant = format!("t{}", random.below(200));
        let kinds =
            Kinds { tenant: Some(&tenant), revision: call.response.model.as_deref(), ..Kinds::default() };
        sums.truth[0] += 1.0;
        sums.truth[1] += tokens as f64;
        sums.odd[0] += u32::from(is_odd);
        if let Decision::Kept(kept) = sampler.decide(&call, id, &kinds) {
            let weight = kept.threshold.adjusted_count();
            sums.kept += 1;
            sums.odd[1] += u32::from(is_odd && kept.threshold == Threshold::ALWAYS);
            sums.count += weight;
            sums.tokens += weight * tokens as f64;
            // As Horvitz and Thompson estimate it, of calls that are kept independently; those of one trace are not, and are two on average.
            let spread = weight * (weight - 1.0);
            sums.variance[0] += spread;
            sums.variance[1] += spread * (tokens as f64).powi(2);
        }
    }
    sums
}

#[test]
fn sums_over_what_is_kept_are_those_over_all() {
    let settings = |rate, floor| Settings { rate, floor, ..Settings::default() };
    for settings in [
        settings(Rate::Part(0.1), 0),
        settings(Rate::Part(0.05), 5),
        settings(Rate::Part(0.01), 100),
        settings(Rate::Budget(30.0), 10),
        settings(Rate::Budget(5.0), 1),
    ] {
        const RUNS: u64 = 25;
        let mut bias = [0.0; 2];
        let mut error = [0.0; 2];
        let mut within = [0; 2];
        for seed in 0..RUNS {
            let sums = simulate(settings, seed);
            assert_eq!(sums.odd[0], sums.odd[1], "all that is odd is kept, and counts once");
            assert!(sums.odd[0] > 400 && f64::from(sums.kept) < 0.9 * sums.truth[0], "{}", sums.kept);
            for (at, found) in [sums.count, sums.tokens].into_iter().enumerate() {
                bias[at] += found - sums.truth[at];
                error[at] += sums.variance[at];
                // Twice the variance, for the traces.
                let interval = 1.96 * (2.0 * sums.variance[at]).sqrt();
                within[at] += u64::from((found - sums.truth[at]).abs() < interval);
            }
        }
        for at in 0..2 {
            // The mean over all runs, within its own error; and each within its interval in at least nine of ten.
            let normal = bias[at] / (2.0 * error[at]).sqrt();
            assert!(
                normal.abs() < 3.0,
                "{settings:?} {at}: {} in {normal} deviations",
                bias[at] / RUNS as f64
            );
            assert!(within[at] >= RUNS * 9 / 10, "{settings:?} {at}: {} of {RUNS}", within[at]);
        }
    }
}

/// Without the floor's own weight: what the test above would find.
#[test]
fn a_floor_counted_by_chance_would_be_seen() {
    let (mut sampler, _) =
        sampler(Settings { rate: Rate::Part(0.01), floor: 100, keep: Oddities::NONE, ..Settings::default() });
    let mut random = Random(3);
    let (mut right, mut wrong) = (0.0, 0.0);
    for n in 0..20_000u64 {
        let decision = sampler.decide(&call(n * 30 * MS), random.trace(), &Kinds::default());
        if let Decision::Kept(kept) = decision {
            right += kept.threshold.adjusted_count();
            wrong += 100.0;
        }
    }
    assert!((right - 20_000.0f64).abs() < 4.0 * (20_000.0f64 * 99.0).sqrt(), "{right}");
    assert!(wrong > 100_000.0, "{wrong}");
}

#[test]
fn a_budget_holds_over_time() {
    let (mut sampler, account) =
        sampler(Settings { rate: Rate::Budget(20.0), floor: 1, ..Settings::default() });
    let mut random = Random(5);
    let mut kept = Vec::new();
    let mut ids = HashSet::new();
    for second in 0..120u64 {
        let calls = if second < 60 { 200 } else { 2000 };
        let is_kept = (0..calls)
            .filter(|n| {
                let mut call = call(second * 1000 * MS + n * 1000 * MS / calls);
                call.end = Timestamp(call.start.0 + 5 * MS);
                if n % 100 == 0 {
                    call.error = Some(CallError::default());
                }
                let id = random.trace();
                ids.insert(id);
                sampler.decide(&call, id, &Kinds::default()).kept()
            })
            .count();
        kept.push(is_kept);
    }
    let mean = |seconds: &[usize]| seconds.iter().sum::<usize>() as f64 / seconds.len() as f64;
    assert!((18.0..23.0).contains(&mean(&kept[5..60])), "{kept:?}");
    // Twenty errors a second take all of it; a tenth is left for the others.
    assert!((20.0..24.0).contains(&mean(&kept[70..])), "{kept:?}");
    let (all, left) = (account.get(Counter::CallsSampled), account.get(Counter::CallsUnsampled));
    assert_eq!((all + left, all), (60 * 2200, kept.iter().sum::<usize>() as u64));
    assert_eq!(ids.len() as u64, all + left);
}
