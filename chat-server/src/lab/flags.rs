//! The flags of the laboratory. Neither file nor environment has them: nobody gets bad paths who has
//! not typed it.

use std::time::Duration;

use clap::Args;
use protocol::lab::order::{BadOrder, Order, Wanted};

use super::{Allowed, LabSettings, Network};

/// What was typed.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Laboratory")]
pub struct LabFlags {
    /// Make the paths of clients on this machine worse, in the words of their /net: 'loss 10%',
    /// 'out delay 80ms' (what the relay sends), 'profile wifi-bad'. Datagrams only, TCP is left
    /// alone; repeatable. Neither file nor environment can ask for it.
    #[arg(long, value_name = "FAULT", global = true, value_parser = order)]
    lab: Vec<Order>,
    /// Decides what is left to chance.
    #[arg(long, value_name = "NUMBER", global = true, default_value_t)]
    lab_seed: u64,
    /// Whose paths: clients with such an address, and then those on this machine no more, unless
    /// they are named as well; repeatable.
    #[arg(long, value_name = "IP[/BITS]", global = true)]
    lab_allow: Vec<Network>,
}

impl LabFlags {
    /// What they come to, if anything.
    pub fn settings(&self) -> Option<LabSettings> {
        let mut wanted = Wanted::default();
        for order in &self.lab {
            wanted.follow(order, Duration::ZERO).expect("it was read as a fault that there is");
        }
        let allowed = Allowed::only(self.lab_allow.clone());
        let settings = LabSettings::new(&wanted, self.lab_seed, allowed);
        (!wanted.is_nothing()).then_some(settings)
    }
}

/// A fault, which is the only order that makes sense before anything runs.
fn order(text: &str) -> Result<Order, String> {
    let order: Order = text.parse().map_err(|error: BadOrder| error.to_string())?;
    match order {
        Order::Set { .. } => Ok(order),
        Order::Seed(_) => Err("write --lab-seed NUMBER".to_owned()),
        Order::Off | Order::Cut => Err("write a fault, as 'loss 10%'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        lab: LabFlags,
    }

    fn typed(arguments: &[&str]) -> Result<Option<LabSettings>, String> {
        let arguments = ["relay"].iter().chain(arguments);
        let typed = Typed::try_parse_from(arguments).map_err(|error| error.to_string())?;
        Ok(typed.lab.settings())
    }

    #[test]
    fn faults_are_written_as_clients_write_them() {
        let told = |arguments: &[&str]| {
            let settings = typed(arguments).expect("right");
            settings.map(|settings| settings.to_string())
        };
        let loopback = "for 127.0.0.0/8 ::1";
        assert_eq!(
            told(&["--lab", "loss 10%", "--lab", "in delay 20ms"]),
            Some(format!("out: loss 10%; in: delay 20ms, loss 10%; seed 0; {loopback}"))
        );
        let arguments = ["--lab", "out profile wifi-bad", "--lab-seed", "7", "--lab-allow", "::2"];
        assert_eq!(
            told(&arguments),
            Some(
                "out: delay 5ms, jitter 25ms, loss 10% in bursts of 4, reorder 2% by 20ms; in: no \
                 faults; seed 7; for ::2"
                    .to_owned()
            )
        );
    }

    #[test]
    fn without_a_fault_there_is_no_laboratory() {
        assert_eq!(typed(&[]), Ok(None));
        assert_eq!(typed(&["--lab", "loss none", "--lab-seed", "1"]), Ok(None));
    }

    #[test]
    fn what_nobody_understands_is_refused_with_what_can_be_written() {
        for (arguments, says) in [
            (["--lab", "lose 10%"], "there is none called \"lose\""),
            (["--lab", "loss 10"], "write 5%"),
            (["--lab", "seed 7"], "write --lab-seed NUMBER"),
            (["--lab", "off"], "write a fault, as 'loss 10%'"),
            (["--lab", "cut"], "write a fault"),
            (["--lab-allow", "home"], "write an address or a network"),
        ] {
            let error = typed(&arguments).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
