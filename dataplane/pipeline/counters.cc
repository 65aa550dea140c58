// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/counters.h"

namespace sluice {

constexpr std::array<CounterDescription, kCounterCount> kDescriptions = {{
    {Counter::kReceived, "received", "packets taken from ports"},
    {Counter::kSent, "sent", "packets given to ports"},
    {Counter::kConnectionsCreated, "connections_created", "connections scheduled"},
    {Counter::kConnectionsExpired, "connections_expired", "connections whose time was up"},
    {Counter::kConnectionsReused, "connections_reused", "closed connections replaced by a new SYN"},
    {Counter::kConnectionsEvicted, "connections_evicted",
     "connections not yet established that made room for a new one in a full table"},
    {Counter::kConnectionsRescheduled, "connections_rescheduled",
     "connections given up because their real server is gone, drained or out of time"},
    {Counter::kConnectionsDropped, "connections_dropped",
     "connections removed by drop_entry or expire_nodest_conn"},
    {Counter::kConnectionsReset, "connections_reset",
     "connections whose real server was drained or removed, and whose time is up"},
    {Counter::kSplit, "split",
     "packets sent in fragments, for they were larger than the outgoing link takes"},
    {Counter::kSentReset, "sent_reset", "segments answered by a reset"},
    {Counter::kSentIcmp, "sent_icmp", "packets answered by an ICMP error"},
    {Counter::kIcmpLimited, "icmp_limited", "ICMP errors not sent, for there were too many"},
    {Counter::kOnePacket, "one_packet", "datagrams scheduled by themselves"},
    {Counter::kKernelArp, "kernel_arp", "ARP, given to the kernel"},
    {Counter::kKernelIpv6, "kernel_ipv6", "IPv6, given to the kernel"},
    {Counter::kKernelVlan, "kernel_vlan", "VLAN-tagged, given to the kernel"},
    {Counter::kKernelEtherType, "kernel_ethertype", "neither IP nor ARP, given to the kernel"},
    {Counter::kKernelGroupAddress, "kernel_group_address",
     "broadcast or multicast frame, given to the kernel"},
    {Counter::kKernelIcmp, "kernel_icmp", "ICMP about no connection, given to the kernel"},
    {Counter::kKernelFragment, "kernel_fragment", "IP fragment of nothing Sluice knows, given to the kernel"},
    {Counter::kKernelProtocol, "kernel_protocol", "neither TCP, UDP nor SCTP, given to the kernel"},
    {Counter::kKernelNoService, "kernel_no_service",
     "no service at that address and port, given to the kernel"},
    {Counter::kKernelNoConnection, "kernel_no_connection",
     "TCP segment or SCTP packet that opens nothing, without a connection, given to the kernel"},
    {Counter::kKernelFtpData, "kernel_ftp_data",
     "of an FTP data connection that is not scheduled, given to the kernel"},
    {Counter::kKernelBypass, "kernel_bypass", "no real server, given to the kernel as cache_bypass demands"},
    {Counter::kKernelLocal, "kernel_local", "the real server is this host, given to the kernel"},
    {Counter::kKernelForwards, "kernel_forwards",
     "rewritten, next hop unknown to Sluice, sent by the kernel"},
    {Counter::kFromKernel, "from_kernel", "packets of the kernel sent over a dedicated port"},
    {Counter::kPeerGiven, "peer_given", "handed to the worker that owns the flow"},
    {Counter::kPeerTaken, "peer_taken", "taken over from another worker"},
    {Counter::kRefusedNoDestination, "refused_no_destination",
     "service has no real server that accepts connections"},
    {Counter::kRefusedSource, "refused_source", "service is not for clients of that address"},
    {Counter::kRefusedTableFull, "refused_table_full", "connection table is full"},
    {Counter::kRefusedTemplatesFull, "refused_templates_full", "table of persistence templates is full"},
    {Counter::kDropFrameTruncated, "drop_frame_truncated", "shorter than an Ethernet header"},
    {Counter::kDropOtherHost, "drop_other_host", "addressed to another MAC address"},
    {Counter::kDropIpTruncated, "drop_ip_truncated", "shorter than its IP header says"},
    {Counter::kDropIpHeader, "drop_ip_header", "IP version or header length is wrong"},
    {Counter::kDropIpLength, "drop_ip_length", "IP total length is less than the header"},
    {Counter::kDropIpChecksum, "drop_ip_checksum", "IP header checksum is wrong"},
    {Counter::kDropIpSource, "drop_ip_source",
     "source cannot be a host: loopback, multicast, broadcast or zero"},
    {Counter::kDropTcpTruncated, "drop_tcp_truncated", "shorter than a TCP header"},
    {Counter::kDropTcpHeader, "drop_tcp_header", "TCP data offset is wrong"},
    {Counter::kDropUdpTruncated, "drop_udp_truncated", "shorter than a UDP header"},
    {Counter::kDropUdpLength, "drop_udp_length", "UDP length is wrong"},
    {Counter::kDropSctpTruncated, "drop_sctp_truncated", "shorter than an SCTP header with one chunk"},
    {Counter::kDropFragmentsFull, "drop_fragments_full", "too many fragments wait for their first"},
    {Counter::kDropFragmentAlone, "drop_fragment_alone", "fragment whose first did not come"},
    {Counter::kDropFragmentOfNone, "drop_fragment_of_none", "fragment of a datagram without a connection"},
    {Counter::kDropFragmentSctp, "drop_fragment_sctp",
     "fragment of an SCTP packet whose port changes: its checksum cannot be mended"},
    {Counter::kDropDefence, "drop_defence", "would open a connection, dropped by drop_packet"},
    {Counter::kDropDestinationRemoved, "drop_destination_removed",
     "real server of the connection was removed"},
    {Counter::kDropDrainOver, "drop_drain_over",
     "real server was drained or removed, and the connection's time is up"},
    {Counter::kDropConnectionReused, "drop_connection_reused",
     "of a connection that was replaced or evicted in the same burst"},
    {Counter::kDropTtlExpired, "drop_ttl_expired", "time to live is used up"},
    {Counter::kDropNoRoute, "drop_no_route", "no route to the next hop, or its link is down"},
    {Counter::kDropExceedsMtu, "drop_exceeds_mtu", "larger than the outgoing link takes"},
    {Counter::kDropIcmpChecksum, "drop_icmp_checksum", "ICMP error whose checksum is wrong"},
    {Counter::kDropNoSource, "drop_no_source", "the host has no address for the outer header of a tunnel"},
    {Counter::kDropNoHeadroom, "drop_no_headroom", "no room in the packet's buffer for an outer header"},
    {Counter::kDropPortFull, "drop_port_full", "transmit queue of the port is full"},
    {Counter::kDropPeerFull, "drop_peer_full", "hand-over ring of the owning worker is full"},
    {Counter::kDropKernelFull, "drop_kernel_full", "queue to the kernel is full"},
}};

constexpr bool InOrder() {
  for (int i = 0; i < kCounterCount; ++i) {
    if (static_cast<int>(kDescriptions[i].counter) != i || kDescriptions[i].name.empty()) return false;
  }
  return true;
}
static_assert(InOrder(), "every counter has a description, in the order of the enum");

const std::array<CounterDescription, kCounterCount> kCounterDescriptions = kDescriptions;

}  // namespace sluice
