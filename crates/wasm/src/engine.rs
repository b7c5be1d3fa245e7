//! One engine configuration for compiler and shim: what differs in it makes machine code useless.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use wasmtime::{
    CacheStore, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result,
};

/// The engine and its version, for people.
pub const VERSION: &str = "wasmtime 48";

/// Stack of a guest; recursion deeper than this traps.
const GUEST_STACK_BYTES: usize = 1 << 20;
/// The native stack around it: host functions run on it, too.
const STACK_BYTES: usize = 2 << 20;
/// Core instances of one component: CPython's has more than fifty.
const CORE_INSTANCES: u32 = 200;
/// Memories and tables of one program; each memory reserves 4 GiB of addresses and no memory.
const MEMORIES: u32 = 20;
const TABLES: u32 = 100;
/// Elements of one table.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;
/// The largest linear memory a 32-bit program can name.
const MEMORY_BYTES: usize = 1 << 32;
/// Touched memory up to this is zeroed for the next store instead of given back and faulted in anew.
const MEMORY_KEPT_BYTES: usize = 256 << 10;
const TABLE_KEPT_BYTES: usize = 16 << 10;
/// Frames of a trap's trace.
const FRAMES: usize = 32;

/// An engine that only compiles.
pub(crate) fn compiler(store: Option<Arc<dyn CacheStore>>) -> Result<Engine> {
    let mut config = common();
    if let Some(store) = store {
        config.enable_incremental_compilation(store)?;
    }
    Engine::new(&config)
}

/// An engine that runs one program, one store at a time.
pub(crate) fn shim() -> Result<Engine> {
    let mut config = common();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(1)));
    Engine::new(&config)
}

/// Room for this many stores at once.
pub(crate) fn pool(stores: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(stores)
        .total_core_instances(stores * CORE_INSTANCES)
        .total_memories(stores * MEMORIES)
        .total_tables(stores * TABLES)
        .total_stacks(stores)
        .total_gc_heaps(stores)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(MEMORY_BYTES)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(16 << 20)
        .linear_memory_keep_resident(MEMORY_KEPT_BYTES)
        .table_keep_resident(TABLE_KEPT_BYTES);
    pool
}

/// What decides about machine code.
pub(crate) fn common() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(STACK_BYTES)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(FRAMES))
        .concurrency_support(false);
    config
}

/// Names the machine code that this binary makes on this machine: code of another key is useless.
pub fn key() -> Result<String, String> {
    let engine = compiler(None).map_err(|error| format!("{error:#}"))?;
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    Ok(format!("{VERSION}-{:016x}", hasher.finish()).replace(' ', "-"))
}
