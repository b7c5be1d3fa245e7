//! `gpuConfig`: what a function's instances take of a GPU. It is kept as it was given (§1.8); what it
//! means is read here, once for each pool.

use serde::Deserialize;
use stint_model::code::Refusal;
use stint_model::function::FunctionConfig;
use stint_model::gpu::{GpuKind, GpuNeed};

/// Its name.
pub(crate) const SETTING: &str = "gpuConfig";
/// Memory is taken in steps of this.
const STEP_MB: u32 = 1_024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Said {
    gpu_type: Option<String>,
    gpu_memory_size: Option<u32>,
}

/// Refuses what no node could ever give.
pub(crate) fn check(config: &FunctionConfig) -> Result<(), Refusal> {
    let need = read(config)?;
    if need.is_some() && config.runtime == "wasm" {
        return Err(Refusal::invalid(
            "gpuConfig is not supported by runtime 'wasm': its programs see no devices",
        ));
    }
    Ok(())
}

/// What an instance takes. It was checked when it was put.
pub(crate) fn need_of(config: &FunctionConfig) -> Option<GpuNeed> {
    read(config).ok().flatten()
}

fn read(config: &FunctionConfig) -> Result<Option<GpuNeed>, Refusal> {
    let Some(text) = config.kept.get(SETTING) else { return Ok(None) };
    let said: Option<Said> = serde_json::from_str(text)
        .map_err(|error| Refusal::invalid(format!("{SETTING} is not valid: {error}")))?;
    let said = said.unwrap_or_default();
    let memory_mb = said.gpu_memory_size.unwrap_or(0);
    let Some(word) = said.gpu_type.filter(|word| !word.is_empty()) else {
        if memory_mb > 0 {
            return Err(Refusal::invalid("gpuConfig.gpuType is required"));
        }
        return Ok(None);
    };
    let Some(kind) = GpuKind::from_word(&word) else {
        let known = GpuKind::ALL.map(GpuKind::word).join(", ");
        return Err(Refusal::invalid(format!("gpuType '{word}' is not one of {known}")));
    };
    if !memory_mb.is_multiple_of(STEP_MB) {
        return Err(Refusal::invalid(format!(
            "gpuMemorySize must be a multiple of {STEP_MB} MB, got {memory_mb}"
        )));
    }
    if memory_mb > kind.memory_mb() {
        return Err(Refusal::invalid(format!(
            "gpuMemorySize must be at most the {} MB of a {word}, got {memory_mb}",
            kind.memory_mb()
        )));
    }
    Ok(Some(GpuNeed { kind, memory_mb }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples;

    fn of(text: &str) -> Result<Option<GpuNeed>, String> {
        let mut config = samples::config();
        config.kept.insert(SETTING.to_owned(), text.to_owned());
        check(&config).map_err(|refusal| refusal.message)?;
        Ok(need_of(&config))
    }

    #[test]
    fn what_is_said_becomes_a_need_or_a_refusal() {
        let slice = r#"{"gpuType":"fc.gpu.ada.1","gpuMemorySize":8192}"#;
        assert_eq!(of(slice), Ok(Some(GpuNeed { kind: GpuKind::Ada1, memory_mb: 8_192 })));
        let whole = Ok(Some(GpuNeed { kind: GpuKind::Tesla1, memory_mb: 0 }));
        assert_eq!(of(r#"{"gpuType":"g1"}"#), whole);
        for nothing in ["{}", "null", r#"{"gpuType":"","gpuMemorySize":0}"#] {
            assert_eq!(of(nothing), Ok(None), "{nothing}");
        }
        for (text, part) in [
            (r#"{"gpuType":"abacus"}"#, "is not one of"),
            (r#"{"gpuType":"g1","gpuMemorySize":1000}"#, "multiple"),
            (r#"{"gpuType":"g1","gpuMemorySize":17408}"#, "at most"),
            (r#"{"gpuMemorySize":1024}"#, "required"),
            (r#"{"gpuType":7}"#, "not valid"),
        ] {
            let refused = of(text).unwrap_err();
            assert!(refused.contains(part), "{refused}");
        }
    }
}
