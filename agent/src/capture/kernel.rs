//! The kernel programs: loaded, configured, attached, and asked.

use std::{collections::HashMap, io, path::Path, sync::Arc, time::Duration};

use agent_common as abi;
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap as BpfHashMap, MapData, PerCpuArray, RingBuf},
    programs::RawTracePoint,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use super::{
    decode::Decoder,
    error::CaptureError,
    preflight,
    probes::{Placed, Probes, held, program_of, release, release_within},
    record::{ConnectionId, Record},
    scope::Scope,
};
use crate::{
    account::{Account, Counter},
    probe::{Attach, AttachError, Elf, LinkId, ProbePoint},
};

/// The object that `cargo xtask build-ebpf` made, embedded at build time.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/plainspan-ebpf.o"));

/// Most records that are taken from the ring before they are worked on: a mebibyte at most, so that their bytes are still
/// in the cache then and their memory is soon used again.
const BATCH: usize = 64;

/// How long records may gather in the ring before they are taken together. The programs can fill a mebibyte meanwhile.
const REST: Duration = Duration::from_millis(1);

/// How the programs are to work.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose calls are captured.
    pub scope: Scope,
    /// Size of the ring buffer in bytes; a power of two.
    pub ring_bytes: u32,
    /// Most bytes of one library call that are captured.
    pub call_cap: u32,
    /// Whether the programs log what they do.
    pub diagnostics: bool,
    /// Probes stand on perf events, even where the kernel has a better way.
    pub perf_events: bool,
}

/// What the agent wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything.
    Capture,
    /// The heads of messages, until one may be an LLM call.
    Heads,
    /// Nothing.
    Ignore,
}

/// A type of the ABI in a BPF map.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Abi<T>(T);
// SAFETY: used with the ABI's types only, which are `repr(C)` and made of integers without padding.
unsafe impl<T: Copy + 'static> aya::Pod for Abi<T> {}

/// The loaded programs. Dropping it takes every probe away.
pub struct Kernel {
    ebpf: Ebpf,
    points: Array<MapData, Abi<abi::Point>>,
    /// Rows of the point table that are in use; many probes share one.
    rows: Vec<abi::Point>,
    targets: BpfHashMap<MapData, u32, u8>,
    connections: BpfHashMap<MapData, Abi<abi::ConnKey>, Abi<abi::Connection>>,
    verdicts: BpfHashMap<MapData, Abi<abi::ConnKey>, Abi<abi::Verdict>>,
    statistics: PerCpuArray<MapData, u64>,
    probes: Probes,
    links: HashMap<LinkId, Placed>,
    next_link: u64,
    /// Sockets are looked at.
    sockets: bool,
    decoder: Decoder,
    account: Arc<Account>,
}

/// The readable end of the ring.
pub struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
    /// The last batch left something behind.
    more: bool,
    /// There is something, since [`Self::ready`] was told so and then given up.
    told: bool,
    /// When the ring may be emptied again.
    rested: Instant,
}

impl Events {
    fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        // SAFETY: the ring keeps its one descriptor open as long as it lives, and the AsyncFd owns it.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
        Ok(Self { ring, more: false, told: false, rested: Instant::now() })
    }

    /// Waits until there is something for [`Kernel::drain`].
    ///
    /// Not more than once a millisecond or so: the kernel wakes the reader of a ring for each record that comes when
    /// the ring is empty, and a wake-up a record would cost more than all the work on it, on processors that the
    /// watched processes need.
    pub async fn ready(&mut self) -> io::Result<()> {
        if self.more {
            return Ok(());
        }
        if !self.told {
            // Cleared before the ring is emptied: what comes after that sets it again.
            self.ring.readable_mut().await?.clear_ready();
            self.told = true;
        }
        sleep_until(self.rested).await;
        self.told = false;
        Ok(())
    }
}

/// The programs' own log.
pub struct Diagnostics {
    logger: AsyncFd<aya_log::EbpfLogger<&'static dyn log::Log>>,
}

impl Diagnostics {
    /// Passes the programs' messages on to the `log` facade, for ever.
    pub async fn pass_on(mut self) {
        while let Ok(mut guard) = self.logger.readable_mut().await {
            guard.clear_ready();
            guard.get_inner_mut().flush();
        }
    }
}

impl Kernel {
    /// Checks the machine, and loads the programs without any probe yet.
    pub fn load(config: &Config, account: Arc<Account>) -> Result<(Self, Events), CaptureError> {
        let machine = preflight::check()?;
        check_ring(config.ring_bytes)?;
        let memlock = preflight::raise_memlock();
        let (scope, cgroup_id, cgroup_level) = match config.scope {
            Scope::All => (abi::SCOPE_ALL, 0, 0),
            Scope::Targets => (abi::SCOPE_TARGETS, 0, 0),
            Scope::Cgroup { id, level } => (abi::SCOPE_CGROUP, id, level),
        };
        let log_level: u8 = if config.diagnostics { log::Level::Trace as u8 } else { 0 };
        let mut loader = EbpfLoader::new();
        for (constant, offset) in &machine.offsets {
            loader.override_global(constant, offset, true);
        }
        let ebpf = loader
            .override_global("SCOPE", &scope, true)
            .override_global("CALL_CAP", &config.call_cap, true)
            .override_global("CGROUP_ID", &cgroup_id, true)
            .override_global("CGROUP_LEVEL", &cgroup_level, true)
            .override_global("AYA_LOG_LEVEL", &log_level, false)
            .map_max_entries("EVENTS", config.ring_bytes)
            .load(OBJECT)
            .map_err(|error| load_error(&error, memlock))?;
        let (mut kernel, events) = Self::prepare(ebpf, account, memlock, config.perf_events)?;
        if !machine.sys_admin {
            kernel.try_a_probe()?;
        }
        Ok((kernel, events))
    }

    fn prepare(
        mut ebpf: Ebpf,
        account: Arc<Account>,
        memlock: u64,
        perf: bool,
    ) -> Result<(Self, Events), CaptureError> {
        let probes = Probes::load(&mut ebpf, OBJECT, perf).map_err(|error| load_error(&error, memlock))?;
        debug!("probes are placed on {}", probes.way());
        for (name, tracepoint) in [
            ("process_fork", "sched_process_fork"),
            ("process_exec", "sched_process_exec"),
            ("process_exit", "sched_process_exit"),
        ] {
            let program = raw_tracepoint(&mut ebpf, name)?;
            program.load().map_err(|error| load_error(&error, memlock))?;
            program.attach(tracepoint).map_err(|error| load_error(&error, memlock))?;
        }
        let ring = RingBuf::try_from(take(&mut ebpf, "EVENTS")?).map_err(map_error)?;
        let kernel = Self {
            points: Array::try_from(take(&mut ebpf, "POINTS")?).map_err(map_error)?,
            targets: BpfHashMap::try_from(take(&mut ebpf, "TARGETS")?).map_err(map_error)?,
            connections: BpfHashMap::try_from(take(&mut ebpf, "CONNECTIONS")?).map_err(map_error)?,
            verdicts: BpfHashMap::try_from(take(&mut ebpf, "VERDICTS")?).map_err(map_error)?,
            statistics: PerCpuArray::try_from(take(&mut ebpf, "STATISTICS")?).map_err(map_error)?,
            rows: Vec::new(),
            probes,
            links: HashMap::new(),
            next_link: 0,
            sockets: false,
            decoder: Decoder::new(Arc::clone(&account)),
            ebpf,
            account,
        };
        let events = Events::new(ring).map_err(|e| CaptureError::Load(e.to_string()))?;
        Ok((kernel, events))
    }

    /// Whether probes can be placed at all is not told by capabilities: some kernels ask for CAP_SYS_ADMIN
    /// (Linux since 2025), others for CAP_PERFMON. So one is placed on the agent itself, where nobody passes.
    fn try_a_probe(&mut self) -> Result<(), CaptureError> {
        let own = Path::new("/proc/self/exe");
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method holds for one lifetime only"
        )]
        let Ok(Some(entry)) = Elf::open(own, |elf| elf.entry()) else { return Ok(()) };
        let placed = self.probes.place(&mut self.ebpf, "point_end", own, entry, 0);
        let placed = placed.map_err(|error| match load_error(&error, u64::MAX) {
            CaptureError::Privileges { .. } => CaptureError::Privileges {
                missing: "this kernel places probes only for CAP_SYS_ADMIN".to_owned(),
            },
            other => other,
        })?;
        release(held(&mut self.ebpf, placed).into_iter().collect());
        Ok(())
    }

    /// Watches a process (under [`Scope::Targets`]); its descendants are then watched too.
    pub fn watch(&mut self, pid: u32) {
        self.mark(pid, abi::MARK_WATCHED, true);
    }

    /// No longer watches a process; its descendants remain.
    pub fn unwatch(&mut self, pid: u32) {
        self.mark(pid, abi::MARK_WATCHED, false);
    }

    /// Is the process watched (under [`Scope::Targets`])? It may be left out nonetheless.
    pub fn watches(&self, pid: u32) -> bool {
        self.marks(pid) & abi::MARK_WATCHED != 0
    }

    /// Looks at nothing of a process and of those that it forks, whatever the scope; or does again.
    pub fn leave_out(&mut self, pid: u32, left_out: bool) {
        self.mark(pid, abi::MARK_LEFT_OUT, left_out);
    }

    fn marks(&self, pid: u32) -> u8 {
        self.targets.get(&pid, 0).unwrap_or(0)
    }

    fn mark(&mut self, pid: u32, mark: u8, set: bool) {
        let before = self.marks(pid);
        let after = if set { before | mark } else { before & !mark };
        if after == 0 {
            // Absence is what is wanted.
            let _ = self.targets.remove(&pid);
        } else if after != before
            && let Err(error) = self.targets.insert(pid, after, 0)
        {
            warn!(pid, %error, "there is no room for the process in the kernel's table");
        }
    }

    /// Takes up to a batch of records from the ring. True if there may be more.
    pub fn drain(&mut self, events: &mut Events, out: &mut Vec<Record>) -> bool {
        self.decoder.begin_batch();
        let (connections, verdicts) = (&mut self.connections, &mut self.verdicts);
        let mut totals = |key: &abi::ConnKey, born_ns| {
            let state = connections.get(&Abi(*key), 0).ok().filter(|s| s.0.born_ns == born_ns)?;
            let _ = connections.remove(&Abi(*key));
            let _ = verdicts.remove(&Abi(*key));
            Some(state.0)
        };
        events.more = false;
        for _ in 0..BATCH {
            let Some(item) = events.ring.get_mut().next() else {
                events.rested = Instant::now() + REST;
                return false;
            };
            self.decoder.decode(&item, &mut totals, out);
        }
        events.more = true;
        true
    }

    /// Tells the kernel what is wanted of a connection. `epoch` is that of the record that led to the verdict: it
    /// holds until the kernel itself takes the connection back to [`Verdict::Capture`], and not at all if that
    /// has happened since.
    pub fn decide(&mut self, connection: ConnectionId, epoch: u8, verdict: Verdict) {
        let Some(address) = self.decoder.address(connection) else { return };
        let verdict = match verdict {
            Verdict::Capture => abi::VERDICT_CAPTURE,
            Verdict::Heads => abi::VERDICT_HEADS,
            Verdict::Ignore => abi::VERDICT_IGNORE,
        };
        let value = abi::Verdict { born_ns: address.born_ns, verdict, epoch, ..abi::Verdict::default() };
        if self.verdicts.insert(Abi(address.key), Abi(value), 0).is_err() {
            self.account.add(Counter::TableFull, 1);
        }
    }

    /// Brings the kernel's own counters into the account.
    pub fn settle(&self) {
        const COUNTERS: &[(u32, Counter)] = &[
            (abi::STAT_CALLS, Counter::LibraryCalls),
            (abi::STAT_MOVED, Counter::BytesMoved),
            (abi::STAT_CAPTURED, Counter::BytesCaptured),
            (abi::STAT_IGNORED, Counter::BytesIgnored),
            (abi::STAT_NOT_HTTP, Counter::BytesNotHttp),
            (abi::STAT_RING_FULL, Counter::BytesLostRing),
            (abi::STAT_CAP, Counter::BytesLostCap),
            (abi::STAT_FAULT, Counter::BytesLostFault),
            (abi::STAT_TABLE_FULL, Counter::TableFull),
            (abi::STAT_EVENTS_LOST, Counter::EventsLost),
        ];
        for (index, counter) in COUNTERS {
            if let Ok(values) = self.statistics.get(index, 0) {
                self.account.set(*counter, values.iter().sum());
            }
        }
    }

    /// Starts reading the programs' own log.
    pub fn diagnostics(&mut self) -> Result<Diagnostics, CaptureError> {
        let logger =
            aya_log::EbpfLogger::init(&mut self.ebpf).map_err(|e| CaptureError::Load(e.to_string()))?;
        // SAFETY: as for the ring of records: the logger keeps its descriptor as long as it lives.
        let logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }
            .map_err(|e| CaptureError::Load(io::Error::from(e).to_string()))?;
        Ok(Diagnostics { logger })
    }

    /// The row of the point table that says this; rows are never given back, for the few that there are
    /// kinds of points.
    fn row(&mut self, point: &abi::Point) -> Result<u32, String> {
        if let Some(i) = self.rows.iter().position(|r| r == point) {
            return Ok(i as u32);
        }
        let index = self.rows.len() as u32;
        if index >= abi::MAX_POINTS {
            return Err("the table of probe points is full".to_owned());
        }
        self.points.set(index, Abi(*point), 0).map_err(|e| e.to_string())?;
        self.rows.push(*point);
        Ok(index)
    }

    /// Looks at sockets from now on: without them it can't be told which of a cipher's keys belong together.
    fn look_at_sockets(&mut self) -> Result<(), String> {
        if self.sockets {
            return Ok(());
        }
        for (name, tracepoint) in [
            ("socket_sent", "sock_send_length"),
            ("socket_received", "sock_recv_length"),
            ("socket_state", "inet_sock_set_state"),
        ] {
            let program = raw_tracepoint(&mut self.ebpf, name).map_err(|e| e.to_string())?;
            program.load().map_err(|e| chain(&e))?;
            program.attach(tracepoint).map_err(|e| {
                format!("ciphers need the tracepoint {tracepoint}, which came with Linux 6.3: {}", chain(&e))
            })?;
        }
        self.sockets = true;
        Ok(())
    }

    fn place(&mut self, file: &Path, point: &ProbePoint) -> Result<LinkId, String> {
        if point.point.form == abi::FORM_RECORD {
            self.look_at_sockets()?;
        }
        let row = self.row(&point.point)?;
        let name = program_of(point.mechanism, point.point.action);
        let placed = self.probes.place(&mut self.ebpf, name, file, point.offset, u64::from(row));
        let placed = placed.map_err(|error| chain(&error))?;
        self.next_link += 1;
        let link = LinkId(self.next_link);
        self.links.insert(link, placed);
        Ok(link)
    }
}

impl Kernel {
    /// Takes every probe away. What programs saw until then is in the ring, and their counters are final; unless
    /// it takes longer than `patience`, and then the rest goes while the caller goes on.
    pub fn detach_all(&mut self, patience: Duration) {
        let links = self.links.drain().filter_map(|(_, placed)| held(&mut self.ebpf, placed)).collect();
        release_within(links, patience);
    }
}

impl Attach for Kernel {
    fn attach(&mut self, file: &Path, point: &ProbePoint) -> Result<LinkId, AttachError> {
        self.place(file, point).map_err(|reason| AttachError {
            symbol: point.symbol,
            offset: point.offset,
            reason,
        })
    }

    fn detach(&mut self, link: LinkId) {
        if let Some(link) = self.links.remove(&link).and_then(|placed| held(&mut self.ebpf, placed)) {
            // Nobody waits for it: the ring must be emptied meanwhile.
            release(vec![link]);
        }
    }
}

fn raw_tracepoint<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut RawTracePoint, CaptureError> {
    ebpf.program_mut(name)
        .and_then(|p| p.try_into().ok())
        .ok_or_else(|| CaptureError::Load(format!("the object has no program {name}")))
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map, CaptureError> {
    ebpf.take_map(name).ok_or_else(|| CaptureError::Load(format!("the object has no map {name}")))
}

fn map_error(error: aya::maps::MapError) -> CaptureError {
    CaptureError::Load(chain(&error))
}

fn check_ring(given: u32) -> Result<(), CaptureError> {
    const PAGE: u32 = 4096;
    // A ring's size is a power of two of pages; aarch64 kernels may have larger pages, and aya rounds up.
    if given.is_power_of_two() && given >= PAGE {
        return Ok(());
    }
    let proposal = given.clamp(PAGE, 1 << 31).next_power_of_two();
    Err(CaptureError::RingSize { given, page: PAGE, proposal })
}

/// What the kernel's refusal comes from. `EPERM` with the capabilities in place is the limit of locked memory
/// on kernels before 5.11.
fn load_error(error: &(dyn std::error::Error + 'static), memlock: u64) -> CaptureError {
    let mut source = Some(error);
    while let Some(e) = source {
        if let Some(io) = e.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::PermissionDenied
        {
            return if memlock < 64 << 20 {
                CaptureError::Memlock { limit: memlock }
            } else {
                CaptureError::Privileges { missing: "the kernel answered EPERM".to_owned() }
            };
        }
        source = e.source();
    }
    CaptureError::Load(chain(error))
}

/// An error with its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let more = e.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = e.source();
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use object::{Object, ObjectSymbol};

    use super::{super::probes::PROGRAMS, *};

    #[test]
    fn ring_sizes() {
        assert!(check_ring(4096).is_ok() && check_ring(1 << 24).is_ok());
        for (given, proposal) in [(0, 4096), (5000, 8192), (u32::MAX, 1 << 31)] {
            match check_ring(given) {
                Err(CaptureError::RingSize { proposal: p, .. }) => assert_eq!(p, proposal),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_object_holds_what_is_asked_of_it() {
        let object = object::File::parse(OBJECT).unwrap();
        let names: Vec<&str> = object.symbols().filter_map(|s| s.name().ok()).collect();
        let others = [
            "socket_sent",
            "socket_received",
            "socket_state",
            "process_fork",
            "process_exec",
            "process_exit",
            "EVENTS",
            "POINTS",
            "TARGETS",
            "CONNECTIONS",
            "VERDICTS",
            "STATISTICS",
        ];
        for needed in PROGRAMS.into_iter().chain(others) {
            assert!(names.contains(&needed), "{needed}");
        }
    }
}
