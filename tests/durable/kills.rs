//! A broker in a process of its own, killed with SIGKILL at random points: nothing that was
//! confirmed is lost.

use std::{collections::BTreeSet, env, path::Path, time::Duration};

use hopmq::{Exchange, Queue, broker::Broker};

use crate::{
    File, Result, connect,
    served::{Served, serve},
};

/// The file of the broker that this process is to be.
const FILE: &str = "HOPMQ_TEST_DURABLE_FILE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_points_it_loses_nothing_confirmed() -> Result {
    kill_and_restart(5).await
}

mod long {
    use super::*;

    #[ignore = "long: run tests/run --long"]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn killed_a_thousand_times_it_loses_nothing_confirmed() -> Result {
        kill_and_restart(1_000).await
    }
}

/// The broker that is killed: the test below starts this process again for it. By itself it does
/// nothing.
#[tokio::test]
async fn serve_until_killed() -> Result {
    let Some(file) = env::var_os(FILE) else { return Ok(()) };
    let broker = Broker::builder().durable(Path::new(&file)).bind("127.0.0.1:0").await?;
    Ok(serve(broker).await?)
}

fn start(file: &File) -> Result<Served> {
    Ok(Served::start("kills::serve_until_killed", FILE, &file.0)?)
}

/// Publishes while the broker lives, takes away some of it, and compares after each restart. A
/// message that was confirmed and whose ack was never sent must be there.
async fn kill_and_restart(rounds: u32) -> Result {
    let file = File::new();
    let mut random = u64::from(std::process::id()) | 1;
    let mut owed: BTreeSet<u64> = BTreeSet::new();
    let mut next = 0_u64;
    for round in 0..rounds {
        let victim = start(&file)?;
        let (_conn, chan) = connect(&victim.uri).await?;
        let default = Exchange::default_exchange();
        let inbox = chan.declare(Queue::classic("inbox")).await?;
        let found = drained(&chan, &inbox, &mut owed, round).await?;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let lives = Duration::from_micros(1_000 + random % 60_000);
        let killer = tokio::spawn(async move {
            tokio::time::sleep(lives).await;
            drop(victim);
        });
        let _ = found;
        // Until it dies: every confirm that arrives is a promise.
        let mut under_way = Vec::new();
        'alive: loop {
            for _ in 0..20 {
                let body = [next.to_be_bytes().to_vec(), vec![7; (next % 3_000) as usize]].concat();
                match chan.publish(&default, &inbox, body).await {
                    Ok(confirm) => under_way.push((next, confirm)),
                    Err(_) => break 'alive,
                }
                next += 1;
            }
            for (number, confirm) in under_way.drain(..) {
                if confirm.await.is_ok() {
                    owed.insert(number);
                }
            }
            if killer.is_finished() {
                break;
            }
        }
        for (number, confirm) in under_way {
            if confirm.await.is_ok() {
                owed.insert(number);
            }
        }
        killer.await?;
    }
    let victim = start(&file)?;
    let (_conn, chan) = connect(&victim.uri).await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    let published = next;
    drained(&chan, &inbox, &mut owed, rounds).await?;
    println!("{rounds} kills, {published} messages published, nothing confirmed was lost");
    Ok(())
}

/// Takes all there is, in order, and acknowledges half of it; what is owed must be among it.
async fn drained(
    chan: &hopmq::Chan<hopmq::Confirming>,
    inbox: &hopmq::Queue<hopmq::Classic>,
    owed: &mut BTreeSet<u64>,
    round: u32,
) -> Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    let mut last = None;
    let mut held = Vec::new();
    while let Some(got) = chan.get(inbox).await? {
        let body = got.body().into_bytes();
        let number = u64::from_be_bytes(body[..8].try_into()?);
        assert_eq!(body.len() as u64, 8 + number % 3_000, "round {round}: a garbled body");
        assert!(last < Some(number), "round {round}: {number} after {last:?}");
        last = Some(number);
        found.insert(number);
        if number % 2 == 0 {
            owed.remove(&number);
            got.ack()?;
        } else {
            held.push(got);
        }
    }
    let lost: Vec<_> = owed.difference(&found).collect();
    assert!(lost.is_empty(), "round {round}: {} confirmed messages are lost: {lost:?}", lost.len());
    // A part of the rest goes too, so that the queue does not grow for ever; dropped, the others
    // go back.
    let keep = held.len().min(50);
    for got in held.drain(..held.len() - keep) {
        let body = got.body().into_bytes();
        owed.remove(&u64::from_be_bytes(body[..8].try_into()?));
        got.ack()?;
    }
    Ok(found)
}
