"""The VPC endpoints that the emulator creates from infrastructure/network.yaml."""

from collections.abc import Iterator
from typing import Any

import pytest

from common.testing.emulator import REGION, running_emulator
from tests.deploy.cloud import Cloud
from tests.test_infrastructure_template import resources

ALWAYS = {"sqs", "ssm", "sts"}


class Network:
    """A VPC with two subnets and a route table; deploys the endpoints into it and reads them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._ec2 = cloud.client("ec2")
        self.vpc: str = self._ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets: list[str] = [
            self._ec2.create_subnet(VpcId=self.vpc, CidrBlock=block)["Subnet"]["SubnetId"]
            for block in ("10.0.1.0/24", "10.0.2.0/24")
        ]
        self.routes: str = self._ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]

    def deploy(self, **parameters: str) -> dict[str, Any]:
        """Return the endpoints by the service's name, and the rules of the security group under `ingress`."""
        outputs = self._cloud.deploy(
            f"network-{self.vpc}",
            "network.yaml",
            VpcId=self.vpc,
            SubnetIds=",".join(self.subnets),
            ClientCidr="10.0.0.0/16",
            **parameters,
        )
        found = {
            endpoint["ServiceName"].removeprefix(f"com.amazonaws.{REGION}."): endpoint
            for endpoint in self._ec2.describe_vpc_endpoints()["VpcEndpoints"]
            if endpoint["VpcId"] == self.vpc
        }
        (group,) = self._ec2.describe_security_groups(GroupIds=[outputs["EndpointSecurityGroupId"]])["SecurityGroups"]
        return found | {"ingress": group["IpPermissions"]}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        yield Cloud(environment)


@pytest.fixture
def network(cloud: Cloud) -> Network:
    return Network(cloud)


def test_pods_and_nodes_reach_each_service_that_they_call(network: Network) -> None:
    made = network.deploy(RouteTableIds=network.routes)
    assert set(made) - {"ingress"} == ALWAYS | {"ecr.api", "ecr.dkr", "logs", "s3"}


def test_an_interface_stands_in_each_subnet(network: Network) -> None:
    made = network.deploy()
    for service in ALWAYS:
        endpoint = made[service]
        assert endpoint["VpcEndpointType"] == "Interface"
        assert sorted(endpoint["SubnetIds"]) == sorted(network.subnets)


def test_the_public_names_lead_to_the_interfaces() -> None:
    made = [resource["Properties"] for resource in resources("network.yaml").values()]
    interfaces = [properties for properties in made if properties.get("VpcEndpointType") == "Interface"]
    assert len(interfaces) == 7
    assert {properties["PrivateDnsEnabled"] for properties in interfaces} == {True}


def test_s3_is_a_gateway_in_the_route_tables_given(network: Network) -> None:
    endpoint = network.deploy(RouteTableIds=network.routes)["s3"]
    assert (endpoint["VpcEndpointType"], endpoint["RouteTableIds"]) == ("Gateway", [network.routes])


def test_what_is_not_wanted_is_left_out(network: Network) -> None:
    made = network.deploy(ImageEndpoints="no", LogsEndpoint="no")
    assert set(made) - {"ingress"} == ALWAYS


def test_pod_identity_gets_its_endpoint(network: Network) -> None:
    assert "eks-auth" in network.deploy(PodIdentityEndpoint="yes")


@pytest.mark.parametrize("second", ["", "100.64.0.0/16"])
def test_only_https_from_the_addresses_given_is_let_in(network: Network, second: str) -> None:
    rules = network.deploy(SecondClientCidr=second)["ingress"]
    assert {(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in rules} == {("tcp", 443, 443)}
    sources = {source["CidrIp"] for rule in rules for source in rule["IpRanges"]}
    assert sources == {"10.0.0.0/16", second} - {""}
