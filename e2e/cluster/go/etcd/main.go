// The etcd server. Its own main package sits in a module that cannot be built
// as a dependency, so this one calls the same entry point.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
