// The node agent: what a bare kubelet lacks for running training pods.
//
// It owns two small services that on a real cluster come from vendors:
//
//	storage.go  dynamic provisioning for the default StorageClass
//	gpu.go      a device plugin that declares GPUs which do not exist
//
// It runs as a host process next to kubelet, not as a pod, so that the cluster
// needs no image of it and volumes can be made before any pod runs.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	volumes := flag.String("volumes", "", "folder that holds one folder per volume")
	socket := flag.String("gpu-socket", "", "socket to serve, inside kubelet's plugins_registry")
	resource := flag.String("gpu-resource", "nvidia.com/gpu", "name of the extended resource")
	count := flag.Int("gpus", 2, "how many GPUs to declare")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatalf("read kubeconfig: %v", err)
	}
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatalf("make client: %v", err)
	}

	go func() {
		if err := serveGPUs(ctx, *socket, *resource, *count); err != nil {
			log.Fatalf("device plugin: %v", err)
		}
	}()
	provision(ctx, client, *volumes)
}
