package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// provisionerName is what a StorageClass names as its provisioner.
const provisionerName = "curriculum.e2e/folder"

// folders provisions each volume as a folder on the node.
//
// fsGroup does not apply to host paths, so the folder itself must let pods of
// any user write: its mode is 0777. There is one node, so every pod can mount
// every claim, whatever its access mode.
type folders struct{ root string }

func provision(ctx context.Context, client kubernetes.Interface, root string) {
	controller.NewProvisionController(ctx, client, provisionerName, folders{root},
		controller.LeaderElection(false),
		controller.MetricsPort(0),
	).Run(ctx)
}

func (f folders) Provision(_ context.Context, o controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	path := filepath.Join(f.root, o.PVName)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("make the volume's folder: %w", err)
	}
	// MkdirAll obeys the umask, Chmod does not.
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("open the volume's folder to all users: %w", err)
	}
	mustExist := v1.HostPathDirectory
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			MountOptions:                  o.StorageClass.MountOptions,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: o.PVC.Spec.Resources.Requests[v1.ResourceStorage]},
			PersistentVolumeSource: v1.PersistentVolumeSource{
				HostPath: &v1.HostPathVolumeSource{Path: path, Type: &mustExist},
			},
		},
	}, controller.ProvisioningFinished, nil
}

func (f folders) Delete(_ context.Context, pv *v1.PersistentVolume) error {
	path := filepath.Join(f.root, pv.Name)
	if pv.Spec.HostPath == nil || pv.Spec.HostPath.Path != path {
		return errors.New("the volume is not one of this provisioner's folders")
	}
	return os.RemoveAll(path)
}
