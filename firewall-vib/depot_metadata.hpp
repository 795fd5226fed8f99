// The XML files of a depot, each a pure function of the VIB.
#pragma once

#include <string>

#include "firewall-vib/vib.hpp"

namespace culvert::firewall {

/// Who the vendor is and where its index stands.
std::string depot_index_xml();
/// For which lines of ESXi there is metadata, and where.
std::string vendor_index_xml();
/// `culvert-firewall-0.1.0-1`: names the bulletin and its file.
std::string bulletin_id(const Descriptor& descriptor);
/// The bulletin, which is also the component that Lifecycle Manager of ESXi 7 and later asks for.
std::string bulletin_xml(const Descriptor& descriptor);
/// vmware.xml: the same in the form of ESXi 4, which newer hosts still read.
std::string old_metadata_xml(const Descriptor& descriptor, const DepotPlace& place);

}  // namespace culvert::firewall
