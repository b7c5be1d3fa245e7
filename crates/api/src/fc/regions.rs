//! `DescribeRegions`: there is one.

use stint_wire::fc::{Region, Regions, RegionsAnswer};

use crate::answer::{Answer, ok};
use crate::call::Call;
use crate::error::Problem;

pub(crate) fn describe(call: &Call) -> Result<Answer, Problem> {
    let region = &call.engine().config().region;
    let region = Region { region_id: region.clone(), local_name: region.clone() };
    ok(&RegionsAnswer {
        regions: Regions { region: vec![region] },
        request_id: call.request_id.to_string(),
    })
}
