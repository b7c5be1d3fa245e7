//! The built binary, from outside: a server's life, and the client's commands against it.

#[cfg(test)]
mod client;
#[cfg(test)]
mod house;
#[cfg(test)]
mod life;
#[cfg(test)]
mod upkeep;
