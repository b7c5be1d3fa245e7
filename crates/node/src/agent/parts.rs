//! What a node is made of and says it has.

use std::sync::Arc;

use stint_model::gpu::GpuCard;
use stint_model::link::NodeGear;
use stint_model::scaling::Metric;
use stint_supervise::Supervisor;

use super::{NodeAgent, NodeError};
use crate::code::{CodeCache, CodeError, Keeps};
use crate::config::NodeConfig;
use crate::gpu::GpuDevice;
use crate::image::{ImageDeps, Images};
use crate::ports::CodeSource;

impl NodeAgent {
    /// What it has besides processors and memory.
    pub(super) fn gear(&self) -> NodeGear {
        let machine = self.shared.launcher.capabilities();
        let measures = Metric::ALL.into_iter().filter(|metric| match metric {
            Metric::Concurrency => true,
            Metric::Cpu => machine.counts_cpu,
            Metric::Memory => machine.limits_memory,
        });
        let gpus = self.shared.config.gpus.iter().map(|device| device.card).collect();
        NodeGear { gpus, measures: measures.collect() }
    }

    /// A card, or a part of its memory.
    pub(super) fn gpu(&self, (place, memory_mb): (usize, u32)) -> Arc<GpuDevice> {
        let device = &self.shared.config.gpus[place];
        let card = GpuCard { memory_mb, ..device.card };
        Arc::new(GpuDevice { card, files: device.files.clone() })
    }
}

pub(super) fn cache(
    config: &NodeConfig,
    code: &Arc<dyn CodeSource>,
    supervisor: &Supervisor,
) -> Result<CodeCache, CodeError> {
    let (dir, bounds) = (config.dir.join("code"), config.bounds);
    let source = Arc::clone(code);
    let bounds = (bounds.code_bytes_max, bounds.unpack);
    CodeCache::open(dir, Keeps::ThisBoot, bounds, source, supervisor.clone())
}

pub(super) fn images(
    config: &NodeConfig,
    code: &Arc<dyn CodeSource>,
    supervisor: &Supervisor,
) -> Result<Images, NodeError> {
    let deps = ImageDeps {
        source: Arc::clone(code),
        supervisor: supervisor.clone(),
        clock: supervisor.clock().clone(),
    };
    Images::open(config.dir.join("images"), config.images.clone(), deps)
        .map_err(|error| NodeError::Images(error.to_string()))
}
