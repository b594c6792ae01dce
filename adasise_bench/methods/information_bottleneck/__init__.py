"""Information Bottleneck Attribution: how many bits of each place a layer must pass on."""
