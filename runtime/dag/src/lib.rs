//! Merkle trees and the nodes of an environment.
