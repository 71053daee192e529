package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	device "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// gpus is a device plugin whose devices are names only: a pod that asks for one
// is counted against the node's capacity and told which one it got, as
// NVIDIA_VISIBLE_DEVICES, but sees no device file.
//
// kubelet finds the socket by watching its plugins_registry folder, both when
// the socket appears and when kubelet itself starts, so neither side's restart
// needs handling here.
type gpus struct {
	registration.UnimplementedRegistrationServer
	device.UnimplementedDevicePluginServer
	socket, resource string
	devices          []*device.Device
	done             <-chan struct{}
}

func serveGPUs(ctx context.Context, socket, resource string, count int) error {
	g := &gpus{socket: socket, resource: resource, done: ctx.Done()}
	for i := range count {
		g.devices = append(g.devices, &device.Device{ID: fmt.Sprintf("gpu-%d", i), Health: device.Healthy})
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the last run's socket: %w", err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, g)
	device.RegisterDevicePluginServer(server, g)
	context.AfterFunc(ctx, server.Stop)
	return server.Serve(listener)
}

func (g *gpus) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type:              registration.DevicePlugin,
		Name:              g.resource,
		Endpoint:          g.socket,
		SupportedVersions: []string{device.Version},
	}, nil
}

func (g *gpus) NotifyRegistrationStatus(context.Context, *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	return &registration.RegistrationStatusResponse{}, nil
}

func (g *gpus) GetDevicePluginOptions(context.Context, *device.Empty) (*device.DevicePluginOptions, error) {
	return &device.DevicePluginOptions{}, nil
}

// ListAndWatch sends the devices once and then holds the stream open: closing
// it would tell kubelet that they are gone.
func (g *gpus) ListAndWatch(_ *device.Empty, stream grpc.ServerStreamingServer[device.ListAndWatchResponse]) error {
	if err := stream.Send(&device.ListAndWatchResponse{Devices: g.devices}); err != nil {
		return err
	}
	select {
	case <-stream.Context().Done():
	case <-g.done:
	}
	return nil
}

func (g *gpus) Allocate(_ context.Context, request *device.AllocateRequest) (*device.AllocateResponse, error) {
	response := &device.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		response.ContainerResponses = append(response.ContainerResponses, &device.ContainerAllocateResponse{
			Envs: map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")},
		})
	}
	return response, nil
}
