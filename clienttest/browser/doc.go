// Package browser drives the dashboard in a real browser, in front of a gateway that
// runs as weir demo does.
//
// Its tests use what .ci/install and clienttest/install.sh have installed, reach
// nothing beyond this machine, and fail where the browser would.
package browser
