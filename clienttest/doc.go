// Package clienttest drives the official clients, as their users install and
// call them, against the gateway over real sockets. It has tests only.
//
// Nothing here changes a client or knows the inside of the gateway: the
// programs in python and node are told where to go by the environment variables
// their libraries read, the gateway is the binary that users run, and azuresim
// stands behind it. install.sh installs the pinned libraries.
package clienttest
