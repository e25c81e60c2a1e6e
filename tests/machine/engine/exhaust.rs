use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure_core::Instant;
use tenure_dependency::{Config, ConfigBuilder, Event, Factor, ManifoldName, RunId};
use tenure_testkit::engine::exhaust::{Counts, Graph, exhaust};
use tenure_testkit::engine::trace::Input;

const NS: fn(u64) -> Duration = Duration::from_nanos;
const START: Instant = Instant::from_nanos(1_000);

/// Short spans that can be told apart: an error's first delays are 8, 12, 18 and 20.
fn spans() -> ConfigBuilder {
    Config::builder()
        .bounce_delay(NS(3))
        .error_delay(NS(8))
        .backoff_factor(Factor::from_millionths(1_500_000).unwrap())
        .max_delay(NS(20))
        .reset_time(NS(50))
}

/// A relation of inputs over three names: bit `3 * a + b` says that `a` depends on `b`.
type Relation = u16;

fn graph(relation: Relation) -> Graph {
    let name = |place: usize| ManifoldName::from(["a", "b", "c"][place]);
    let inputs = |from: usize| (0..3).filter(move |to| relation >> (3 * from + to) & 1 == 1);
    Graph((0..3).map(|from| (name(from), inputs(from).map(name).collect())).collect())
}

fn is_acyclic(relation: Relation) -> bool {
    let mut left: BTreeSet<usize> = (0..3).collect();
    while let Some(&free) =
        left.iter().find(|&from| left.iter().all(|to| relation >> (3 * from + to) & 1 == 0))
    {
        left.remove(&free);
    }
    left.is_empty()
}

fn relations() -> Vec<Relation> {
    let relations: Vec<Relation> = (0..1 << 9).filter(|&relation| is_acyclic(relation)).collect();
    assert_eq!(relations.len(), 25, "labelled acyclic graphs of three nodes");
    relations
}

/// Which of the three are installed to begin with.
fn places(subset: u16) -> Vec<usize> {
    (0..3).filter(|place| subset >> place & 1 == 1).collect()
}

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// The same graph with the same manifolds installed, under other names.
fn renamed(relation: Relation, subset: u16, order: [usize; 3]) -> (Relation, u16) {
    let mut other = (0, 0);
    for from in 0..3 {
        for to in (0..3).filter(|to| relation >> (3 * from + to) & 1 == 1) {
            other.0 |= 1 << (3 * order[from] + order[to]);
        }
        other.1 |= (subset >> from & 1) << order[from];
    }
    other
}

fn is_first_of_its_kind(relation: Relation, subset: u16) -> bool {
    ORDERS.iter().all(|&order| (relation, subset) <= renamed(relation, subset, order))
}

/// What may be installed, and how the histories begin.
struct Root {
    graph: Graph,
    prefix: Vec<(Input<u8>, Instant)>,
}

/// Searches from each root, on as many threads as there are processors.
fn check(name: &str, config: ConfigBuilder, roots: &[Root], depth: usize) -> Counts {
    let config = config.build().unwrap();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let search = || {
        let mut counts = Counts::default();
        while let Some(Root { graph, prefix }) = roots.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = exhaust(&config, START, graph, prefix, depth);
            counts.add(&found.unwrap_or_else(|broken| panic!("{name}: {broken}")));
        }
        counts
    };
    let mut counts = Counts::default();
    std::thread::scope(|scope| {
        let searches: Vec<_> = (0..threads).map(|_| scope.spawn(search)).collect();
        for search in searches {
            counts.add(&search.join().expect("a search has failed"));
        }
    });
    println!("exhausted {name} to depth {depth}: {counts}");
    counts
}

/// Every graph of up to three nodes, with any of them installed to begin with, but for names.
fn graphs() -> Vec<(Relation, u16)> {
    let all = relations().into_iter().flat_map(|relation| (0..8).map(move |set| (relation, set)));
    all.filter(|&(relation, set)| is_first_of_its_kind(relation, set)).collect()
}

/// A graph with what is installed at the start.
fn root((relation, set): (Relation, u16)) -> Root {
    let graph = graph(relation);
    let prefix = graph.install(&places(set), START);
    Root { graph, prefix }
}

#[test]
fn every_history_of_five_events_keeps_the_rules() {
    let roots: Vec<Root> = graphs().into_iter().map(root).collect();
    assert_eq!(roots.len(), 40);
    let counts = check("all graphs", spans(), &roots, 5);
    assert!(counts.histories > 30_000_000, "too few: {counts}");
}

/// Names decide who comes first where several are due or told to stop.
#[test]
fn names_make_no_difference() {
    let all = relations().into_iter().flat_map(|relation| (0..8).map(move |set| (relation, set)));
    let roots: Vec<Root> = all.map(root).collect();
    check("all graphs under all names", spans(), &roots, 3);
}

/// Where all run already, the next events reach further.
#[test]
fn deep_states_keep_the_rules() {
    let mut roots = Vec::new();
    for relation in relations().into_iter().filter(|&relation| is_first_of_its_kind(relation, 7)) {
        let graph = graph(relation);
        // Each is installed once its inputs run, so that nobody is bounced.
        let mut prefix = Vec::new();
        let mut placed: Vec<usize> = Vec::new();
        while let Some(place) = (0..3).find(|place| {
            let lacks = |to: &usize| relation >> (3 * place + to) & 1 == 1 && !placed.contains(to);
            !placed.contains(place) && !(0..3).any(|to| lacks(&to))
        }) {
            placed.push(place);
            prefix.extend(graph.install(&[place], START));
            let run = RunId::new(placed.len() as u64);
            prefix.push((Input::Event(Event::Started { run }), START));
        }
        assert_eq!(placed.len(), 3);
        roots.push(Root { graph, prefix });
    }
    check("graphs that run", spans(), &roots, 4);
}

#[test]
fn other_configs_keep_the_rules() {
    let roots: Vec<Root> = graphs().into_iter().map(root).collect();
    let one = Factor::from_millionths(1_000_000).unwrap();
    let shortest = spans().error_delay(NS(1)).max_delay(NS(1)).backoff_factor(one);
    check("no bounce delay", spans().bounce_delay(NS(0)), &roots, 3);
    check("no reset time, the shortest delays", shortest.reset_time(NS(0)), &roots, 3);
    check("bounces slower than errors", spans().bounce_delay(NS(100)), &roots, 3);
    let most = Factor::from_millionths(u32::MAX).unwrap();
    let longest = spans().max_delay(Duration::MAX).backoff_factor(most);
    check("delays past the end of time", longest.error_delay(NS(u64::MAX / 2)), &roots, 3);
}
