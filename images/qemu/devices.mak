# SPDX-License-Identifier: GPL-2.0-or-later
#
# The devices of our virtual machines and nothing else: a quicker build and
# less for a hostile guest to reach.
CONFIG_I440FX=y
CONFIG_Q35=y
CONFIG_NVDIMM=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BALLOON=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_MEM=y
CONFIG_PVPANIC_PCI=y
CONFIG_TEST_DEVICES=y
