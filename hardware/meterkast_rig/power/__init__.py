"""Power cuts on a real kernel: the gateway runs in user-mode-linux, and the whole guest is killed.

With it goes the guest's page cache, as at a cut. Its disk is an ext4 image; everything outside the gateway
(meter and platforms) runs on the host, behind serial lines, and does not notice.
"""
